/* Requests from other processes, and what a process says at its end; see fake.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_private.h"

#define PIPE_BYTES 65536
#define REPORT_BYTES 65536

/* Made at the start: at the end a thread that is no more may have been within the heap. */
static HANDLE report_file = INVALID_HANDLE_VALUE;
static struct text report;

/* One line, without its end; NULL when the client went before that. */
static char *read_line(HANDLE pipe)
{
    struct text line = { 0 };
    char chunk[4096];
    DWORD count;
    while (ReadFile(pipe, chunk, sizeof chunk, &count, NULL)) {
        const char *end = memchr(chunk, '\n', count);
        text_append(&line, "%.*s", (int)(end ? end - chunk : (ptrdiff_t)count), chunk);
        if (end) return line.data;
    }
    text_free(&line);
    return NULL;
}

static void serve(HANDLE pipe)
{
    char *request = read_line(pipe);
    if (!request) return;
    char *reply = answer(request);
    DWORD count;
    WriteFile(pipe, reply, (DWORD)strlen(reply), &count, NULL);
    /* Until the client has read it: what is disconnected loses what was not. */
    FlushFileBuffers(pipe);
    free(reply);
    free(request);
}

static DWORD WINAPI take_requests(void *name)
{
    for (;;) {
        HANDLE pipe = CreateNamedPipeW(name, PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES,
                                       PIPE_BYTES, PIPE_BYTES, 0, NULL);
        if (pipe == INVALID_HANDLE_VALUE) return 1;
        if (ConnectNamedPipe(pipe, NULL) || GetLastError() == ERROR_PIPE_CONNECTED) serve(pipe);
        DisconnectNamedPipe(pipe);
        CloseHandle(pipe);
    }
}

static void open_report(void)
{
    wchar_t directory[MAX_PATH], name[MAX_PATH], path[MAX_PATH * 2 + 32];
    if (!GetEnvironmentVariableW(L"FAKE_REPORT", directory, MAX_PATH)) return;
    own_name(name);
    swprintf(path, sizeof path / sizeof *path, L"%ls\\%ls-%lu.json", directory, name, GetCurrentProcessId());
    report = (struct text){ .data = malloc(REPORT_BYTES), .capacity = REPORT_BYTES };
    if (!report.data) abort();
    report_file = CreateFileW(path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, CREATE_ALWAYS, 0, NULL);
}

void start_remote(void)
{
    open_report();
    static wchar_t pipe[MAX_PATH * 2 + 16];
    wchar_t prefix[MAX_PATH], name[MAX_PATH];
    if (!GetEnvironmentVariableW(L"FAKE_PIPE", prefix, MAX_PATH)) return;
    own_name(name);
    swprintf(pipe, sizeof pipe / sizeof *pipe, L"\\\\.\\pipe\\%ls-%ls", prefix, name);
    HANDLE thread = CreateThread(NULL, 0, take_requests, pipe, 0, NULL);
    if (thread) CloseHandle(thread);
}

static void write_report(void)
{
    DWORD count;
    text_append(&report, "{");
    write_violations(&report);
    /* All other threads are gone, wherever they were. */
    if (try_fake_lock()) {
        write_call_counters(&report);
        fake_counters(&report);
    } else text_member(&report, "unfinished", "a thread ended inside the library");
    text_append(&report, "}");
    WriteFile(report_file, report.data, (DWORD)report.length, &count, NULL);
}

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, void *process_ends)
{
    (void)module;
    if (reason == DLL_PROCESS_DETACH && process_ends && report_file != INVALID_HANDLE_VALUE) write_report();
    return TRUE;
}
