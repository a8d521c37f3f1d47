/*
 * launch.exe FILE PROGRAM [ARGUMENTS...]: runs the program and writes its exit code to FILE, as decimal text.
 *
 * The exit status that Wine's own loader gives its parent is not always the program's, and has 8 bits only.
 * The program's command line is passed on as it came, quotes and all. It dies with this process.
 */
#include <windows.h>
#include <stdio.h>
#include <wchar.h>

/* The part of a command line behind its first argument. Quotes group; a program's name has no escapes. */
static wchar_t *after_argument(wchar_t *text)
{
    int quoted = 0;
    for (; *text && (quoted || (*text != L' ' && *text != L'\t')); text++)
        if (*text == L'"') quoted = !quoted;
    while (*text == L' ' || *text == L'\t') text++;
    return text;
}

static int fail(const char *what)
{
    fprintf(stderr, "launch: %s failed: %lu\n", what, GetLastError());
    return 125;
}

static int record(const wchar_t *path, DWORD code)
{
    FILE *file = _wfopen(path, L"w");
    if (!file) return fail("opening the exit code's file");
    fprintf(file, "%lu\n", code);
    return fclose(file) ? fail("writing the exit code") : 0;
}

int wmain(int argc, wchar_t **argv)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = { 0 };
    STARTUPINFOW startup = { .cb = sizeof startup };
    PROCESS_INFORMATION process;
    DWORD code;
    if (argc < 3) {
        fprintf(stderr, "usage: launch FILE PROGRAM [ARGUMENTS...]\n");
        return 125;
    }
    wchar_t *command = after_argument(after_argument(GetCommandLineW()));
    HANDLE job = CreateJobObjectW(NULL, NULL);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (!job || !SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits))
        return fail("making a job");
    if (!CreateProcessW(NULL, command, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &startup, &process))
        return fail("CreateProcess");
    if (!AssignProcessToJobObject(job, process.hProcess)) return fail("AssignProcessToJobObject");
    ResumeThread(process.hThread);
    if (WaitForSingleObject(process.hProcess, INFINITE) != WAIT_OBJECT_0) return fail("waiting");
    if (!GetExitCodeProcess(process.hProcess, &code)) return fail("GetExitCodeProcess");
    return record(argv[1], code);
}
