/* Requests from other processes, and what a process says at its end; see fake.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_private.h"

#define PIPE_BYTES 65536

/* Made at the start, so that one that is never written is noticed. */
static HANDLE report_file = INVALID_HANDLE_VALUE;
static void (WINAPI *exit_process)(UINT);

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

static void write_report(void)
{
    struct text report = { 0 };
    DWORD count;
    text_append(&report, "{");
    write_violations(&report);
    write_call_counters(&report);
    fake_counters(&report);
    text_append(&report, "}");
    WriteFile(report_file, report.data, (DWORD)report.length, &count, NULL);
}

static void WINAPI report_and_exit(UINT code)
{
    write_report();
    exit_process(code);
}

/* Where a function of kernel32 stands that the program imports; NULL when it does not. */
static void **import_of(const char *function)
{
    BYTE *base = (BYTE *)GetModuleHandleW(NULL);
    const IMAGE_NT_HEADERS *headers = (const void *)(base + ((const IMAGE_DOS_HEADER *)base)->e_lfanew);
    const IMAGE_DATA_DIRECTORY *directory = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
    const IMAGE_IMPORT_DESCRIPTOR *library = (const void *)(base + directory->VirtualAddress);
    for (; library->Name; library++) {
        if (_stricmp((const char *)base + library->Name, "kernel32.dll")) continue;
        const IMAGE_THUNK_DATA *names = (const void *)(base + library->OriginalFirstThunk);
        void **places = (void **)(base + library->FirstThunk);
        for (int i = 0; names[i].u1.AddressOfData; i++) {
            if (IMAGE_SNAP_BY_ORDINAL(names[i].u1.Ordinal)) continue;
            const IMAGE_IMPORT_BY_NAME *import = (const void *)(base + names[i].u1.AddressOfData);
            if (!strcmp((const char *)import->Name, function)) return &places[i];
        }
    }
    return NULL;
}

/*
 * Has the process's end go by report_and_exit. Libraries are told of it by their DllMain too, but under Wine not
 * reliably: it ends the other threads first, and now and then the last of them takes the process with it, with its
 * exit code and before anybody was told.
 */
static void watch_exit(void)
{
    DWORD before;
    void **place = import_of("ExitProcess");
    if (!place || !VirtualProtect(place, sizeof *place, PAGE_READWRITE, &before)) return;
    *(void **)&exit_process = InterlockedExchangePointer(place, (void *)report_and_exit);
}

static void open_report(void)
{
    wchar_t directory[MAX_PATH], name[MAX_PATH], path[MAX_PATH * 2 + 32];
    if (!GetEnvironmentVariableW(L"FAKE_REPORT", directory, MAX_PATH)) return;
    own_name(name);
    swprintf(path, sizeof path / sizeof *path, L"%ls\\%ls-%lu.json", directory, name, GetCurrentProcessId());
    report_file = CreateFileW(path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, CREATE_ALWAYS, 0, NULL);
    if (report_file != INVALID_HANDLE_VALUE) watch_exit();
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
