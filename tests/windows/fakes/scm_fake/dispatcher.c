/* The service's side of the fake SCM: dispatcher, handler and status; see scm_fake.h. */
#include <stdlib.h>
#include <string.h>
#include "scm_fake.h"

#define MAX_CONTROLS 256

struct control {
    DWORD code, event, result, ms;
    bool done;
};

static char *armed;                  /* the service that this process is, or NULL */
static wchar_t **arguments;
static DWORD argument_count;
static bool running;                 /* the dispatcher is in its loop */
static char *registered;             /* the service whose handler is known */
static LPHANDLER_FUNCTION_EX handler;
static void *handler_context;
static SERVICE_STATUS *statuses;
static int status_count;
static struct control controls[MAX_CONTROLS];
static int control_count, dispatched;
static CONDITION_VARIABLE changed;
/* The library's own lock is a critical section; condition variables wait on this one. */
static SRWLOCK lock = SRWLOCK_INIT;

bool arm(const struct json *request)
{
    const struct json *list = json_get(request, "arguments");
    AcquireSRWLockExclusive(&lock);
    free(armed);
    armed = _strdup(json_text(request, "name", ""));
    argument_count = 0;
    arguments = calloc(json_length(list) + 1, sizeof *arguments);
    wchar_t *name = calloc(strlen(armed) + 1, sizeof *name);
    if (!arguments || !name) abort();
    MultiByteToWideChar(CP_UTF8, 0, armed, -1, name, (int)strlen(armed) + 1);
    arguments[argument_count++] = name;
    for (const struct json *one = list ? list->first : NULL; one; one = one->next) {
        int length = MultiByteToWideChar(CP_UTF8, 0, one->text, -1, NULL, 0);
        wchar_t *text = calloc((size_t)length, sizeof *text);
        if (!text) abort();
        MultiByteToWideChar(CP_UTF8, 0, one->text, -1, text, length);
        arguments[argument_count++] = text;
    }
    ReleaseSRWLockExclusive(&lock);
    return true;
}

static DWORD current_state(void)
{
    return status_count ? statuses[status_count - 1].dwCurrentState : 0;
}

static bool accepts(DWORD code)
{
    DWORD accepted = status_count ? statuses[status_count - 1].dwControlsAccepted : 0;
    switch (code) {
    case SERVICE_CONTROL_STOP: return accepted & SERVICE_ACCEPT_STOP;
    case SERVICE_CONTROL_SHUTDOWN: return accepted & SERVICE_ACCEPT_SHUTDOWN;
    case SERVICE_CONTROL_PRESHUTDOWN: return accepted & SERVICE_ACCEPT_PRESHUTDOWN;
    default: return true;   /* INTERROGATE and a service's own codes */
    }
}

bool send_control(const struct json *request)
{
    DWORD code = (DWORD)json_integer(request, "code", 0);
    AcquireSRWLockExclusive(&lock);
    bool sent = running && handler && control_count < MAX_CONTROLS && accepts(code);
    if (sent)
        controls[control_count++] = (struct control){ .code = code, .event = (DWORD)json_integer(request, "event", 0) };
    WakeAllConditionVariable(&changed);
    ReleaseSRWLockExclusive(&lock);
    return sent;
}

static DWORD WINAPI run_main(void *main)
{
    ((LPSERVICE_MAIN_FUNCTIONW)main)(argument_count, arguments);
    return 0;
}

/* Calls the handler for one control, without the lock: it may report a status. */
static void dispatch(struct control *control)
{
    ULONGLONG start = GetTickCount64();
    ReleaseSRWLockExclusive(&lock);
    DWORD result = handler(control->code, control->event, NULL, handler_context);
    AcquireSRWLockExclusive(&lock);
    control->result = result;
    control->ms = (DWORD)(GetTickCount64() - start);
    control->done = true;
}

/* Runs on the caller's thread until the service has reported that it stopped. */
static void loop(LPSERVICE_MAIN_FUNCTIONW main)
{
    HANDLE thread = CreateThread(NULL, 0, run_main, (void *)main, 0, NULL);
    while (current_state() != SERVICE_STOPPED) {
        if (dispatched < control_count) dispatch(&controls[dispatched++]);
        else SleepConditionVariableSRW(&changed, &lock, INFINITE, 0);
    }
    CloseHandle(thread);
}

EXPORT BOOL WINAPI StartServiceCtrlDispatcherW(const SERVICE_TABLE_ENTRYW *table)
{
    struct call call;
    struct text facts = { 0 };
    fake_start();
    bool good = is_readable(table, 2 * sizeof *table) && !table[1].lpServiceName && !table[1].lpServiceProc;
    char *name = good ? read_wide("StartServiceCtrlDispatcherW", "lpServiceName", table[0].lpServiceName) : NULL;
    if (!good) violation("StartServiceCtrlDispatcherW: the table has no end");
    text_member(&facts, "name", name);
    call_begin(&call, "StartServiceCtrlDispatcherW", &facts);
    AcquireSRWLockExclusive(&lock);
    DWORD error = call.skips ? (DWORD)call.code : !armed ? ERROR_FAILED_SERVICE_CONTROLLER_CONNECT
                : running ? ERROR_SERVICE_ALREADY_RUNNING : good && name ? 0 : ERROR_INVALID_DATA;
    if (!error) {
        running = true;
        loop(table[0].lpServiceProc);
        running = false;
    }
    ReleaseSRWLockExclusive(&lock);
    free(name);
    call_after(&call);
    call_end(&call, "%lu", error);
    SetLastError(error);
    return !error;
}

EXPORT SERVICE_STATUS_HANDLE WINAPI RegisterServiceCtrlHandlerExW(LPCWSTR wide_name, LPHANDLER_FUNCTION_EX function,
                                                                  LPVOID context)
{
    struct call call;
    struct text facts = { 0 };
    fake_start();
    char *name = read_wide("RegisterServiceCtrlHandlerExW", "lpServiceName", wide_name);
    text_member(&facts, "name", name);
    call_begin(&call, "RegisterServiceCtrlHandlerExW", &facts);
    AcquireSRWLockExclusive(&lock);
    DWORD error = call.skips ? (DWORD)call.code : !running || !name ? ERROR_SERVICE_DOES_NOT_EXIST
                : !function ? ERROR_INVALID_PARAMETER : 0;
    if (!error) {
        free(registered);
        registered = name;
        handler = function;
        handler_context = context;
    } else free(name);
    ReleaseSRWLockExclusive(&lock);
    call_after(&call);
    call_end(&call, "%lu", error);
    SetLastError(error);
    return error ? NULL : (SERVICE_STATUS_HANDLE)&registered;
}

/* What the SCM expects of a status, given the one before. */
static void check_status(const SERVICE_STATUS *now)
{
    const SERVICE_STATUS *before = status_count ? &statuses[status_count - 1] : NULL;
    bool pending = now->dwCurrentState == SERVICE_START_PENDING || now->dwCurrentState == SERVICE_STOP_PENDING;
    if (now->dwServiceType != SERVICE_WIN32_OWN_PROCESS) violation("SetServiceStatus: type %lu", now->dwServiceType);
    if (now->dwCurrentState < SERVICE_STOPPED || now->dwCurrentState > SERVICE_RUNNING)
        violation("SetServiceStatus: state %lu", now->dwCurrentState);
    if (now->dwCurrentState == SERVICE_START_PENDING && now->dwControlsAccepted)
        violation("SetServiceStatus: accepts controls while it starts");
    if (!pending && (now->dwCheckPoint || now->dwWaitHint))
        violation("SetServiceStatus: check point or wait hint in state %lu", now->dwCurrentState);
    if (now->dwServiceSpecificExitCode && now->dwWin32ExitCode != ERROR_SERVICE_SPECIFIC_ERROR)
        violation("SetServiceStatus: a specific exit code without 1066");
    if (!before) return;
    if (before->dwCurrentState == SERVICE_STOPPED) violation("SetServiceStatus: after STOPPED");
    if (pending && before->dwCurrentState == now->dwCurrentState && now->dwCheckPoint <= before->dwCheckPoint)
        violation("SetServiceStatus: the check point does not rise");
    if (now->dwCurrentState == SERVICE_RUNNING && before->dwCurrentState == SERVICE_STOP_PENDING)
        violation("SetServiceStatus: RUNNING after STOP_PENDING");
}

EXPORT BOOL WINAPI SetServiceStatus(SERVICE_STATUS_HANDLE handle, SERVICE_STATUS *status)
{
    struct call call;
    struct text facts = { 0 };
    fake_start();
    bool good = is_readable(status, sizeof *status);
    if (good) text_member_integer(&facts, "state", status->dwCurrentState);
    call_begin(&call, "SetServiceStatus", &facts);
    AcquireSRWLockExclusive(&lock);
    DWORD error = call.skips ? (DWORD)call.code : (void *)handle != (void *)&registered ? ERROR_INVALID_HANDLE
                : good ? 0 : ERROR_INVALID_DATA;
    if (!error) {
        check_status(status);
        statuses = realloc(statuses, (size_t)(status_count + 1) * sizeof *statuses);
        if (!statuses) abort();
        statuses[status_count++] = *status;
        WakeAllConditionVariable(&changed);
    }
    ReleaseSRWLockExclusive(&lock);
    call_after(&call);
    call_end(&call, "%lu", error);
    SetLastError(error);
    return !error;
}

void write_controls(struct text *reply)
{
    AcquireSRWLockShared(&lock);
    text_key(reply, "controls");
    text_append(reply, "[");
    for (int i = 0; i < control_count; i++) {
        text_comma(reply);
        text_append(reply, "{\"code\":%lu", controls[i].code);
        if (controls[i].done) text_append(reply, ",\"result\":%lu,\"ms\":%lu}", controls[i].result, controls[i].ms);
        else text_append(reply, ",\"result\":null,\"ms\":null}");
    }
    text_append(reply, "]");
    ReleaseSRWLockShared(&lock);
}

void write_statuses(struct text *reply)
{
    AcquireSRWLockShared(&lock);
    text_key(reply, "statuses");
    text_append(reply, "[");
    for (int i = 0; i < status_count; i++) {
        const SERVICE_STATUS *s = &statuses[i];
        text_comma(reply);
        text_append(reply, "{\"type\":%lu,\"state\":%lu,\"accepts\":%lu,\"exitCode\":%lu", s->dwServiceType,
                    s->dwCurrentState, s->dwControlsAccepted, s->dwWin32ExitCode);
        text_append(reply, ",\"specificExitCode\":%lu,\"checkPoint\":%lu,\"waitHint\":%lu}",
                    s->dwServiceSpecificExitCode, s->dwCheckPoint, s->dwWaitHint);
    }
    text_append(reply, "]");
    ReleaseSRWLockShared(&lock);
}

/* A dispatcher that still runs is let go, as if the service had stopped. */
void forget_dispatcher(void)
{
    static const SERVICE_STATUS stopped = { .dwCurrentState = SERVICE_STOPPED };
    AcquireSRWLockExclusive(&lock);
    while (running) {
        statuses = realloc(statuses, (size_t)(status_count + 1) * sizeof *statuses);
        if (!statuses) abort();
        statuses[status_count++] = stopped;
        WakeAllConditionVariable(&changed);
        ReleaseSRWLockExclusive(&lock);
        Sleep(1);
        AcquireSRWLockExclusive(&lock);
    }
    free(armed);
    armed = NULL;
    handler = NULL;
    status_count = control_count = dispatched = 0;
    ReleaseSRWLockExclusive(&lock);
}
