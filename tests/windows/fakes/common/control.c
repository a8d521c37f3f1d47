/* The exports that steer a fake library, and its list of violations; see fake.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_private.h"

EXPORT char *FakeControl(const char *request);
EXPORT void FakeFree(char *reply);

static char **violations;
static int violation_count;
static SRWLOCK lock = SRWLOCK_INIT;
static CRITICAL_SECTION state;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

char *text_of(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = malloc((size_t)length + 1);
    if (!text) abort();
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void violation(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    AcquireSRWLockExclusive(&lock);
    violations = realloc(violations, (size_t)(violation_count + 1) * sizeof *violations);
    if (!violations) abort();
    violations[violation_count++] = _strdup(text);
    ReleaseSRWLockExclusive(&lock);
}

void write_violations(struct text *reply)
{
    AcquireSRWLockShared(&lock);
    text_key(reply, "violations");
    text_append(reply, "[");
    for (int i = 0; i < violation_count; i++) {
        text_comma(reply);
        text_quote(reply, violations[i]);
    }
    text_append(reply, "]");
    ReleaseSRWLockShared(&lock);
}

static void reset(void)
{
    release_hanging();
    drop_rules();
    clear_log();
    AcquireSRWLockExclusive(&lock);
    while (violation_count > 0) free(violations[--violation_count]);
    ReleaseSRWLockExclusive(&lock);
    fake_reset();
}

/* Carries one request out; false when it means nothing to this library. */
static bool carry_out(const struct json *request, struct text *reply, struct text *why)
{
    const char *op = json_text(request, "op", "");
    if (!strcmp(op, "script")) return add_rule(request, why);
    if (!strcmp(op, "unscript")) drop_rules();
    else if (!strcmp(op, "release")) release_hanging();
    else if (!strcmp(op, "abandon")) abandon_hanging();
    else if (!strcmp(op, "log")) write_log(reply);
    else if (!strcmp(op, "violations")) write_violations(reply);
    else if (!strcmp(op, "counters")) {
        write_call_counters(reply);
        fake_counters(reply);
    } else if (!strcmp(op, "reset")) reset();
    else return fake_request(op, request, reply);
    return true;
}

char *answer(const char *request)
{
    char why[128] = "";
    struct text reply = { 0 }, reason = { 0 };
    struct json *parsed = json_parse(request, why, sizeof why);
    text_append(&reply, "{");
    if (!parsed || !carry_out(parsed, &reply, &reason)) {
        text_free(&reply);
        text_append(&reply, "{");
        const char *error = reason.data ? reason.data : parsed ? "no such request, or not now" : why;
        text_member(&reply, "error", error);
    }
    text_append(&reply, "}");
    text_free(&reason);
    json_free(parsed);
    return reply.data;
}

/* Requests that a process is started with. */
static void carry_out_environment(void)
{
    char source[16384], why[128];
    DWORD length = GetEnvironmentVariableA("FAKE_SCRIPT", source, sizeof source);
    if (!length || length >= sizeof source) return;
    struct json *list = json_parse(source, why, sizeof why);
    for (const struct json *request = list ? list->first : NULL; request; request = request->next) {
        struct text reply = { 0 }, reason = { 0 };
        text_append(&reply, "{");
        carry_out(request, &reply, &reason);
        text_free(&reply);
        text_free(&reason);
    }
    json_free(list);
}

/* The first call also nails the library to the process, as what it stands for does not end with a dlclose. */
static BOOL CALLBACK start(PINIT_ONCE unused, void *parameter, void **context)
{
    HMODULE self;
    (void)unused, (void)parameter, (void)context;
    InitializeCriticalSection(&state);
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                       (const wchar_t *)&start, &self);
    carry_out_environment();
    start_remote();
    return TRUE;
}

void fake_start(void)
{
    InitOnceExecuteOnce(&once, start, NULL, NULL);
}

void fake_lock(void)
{
    EnterCriticalSection(&state);
}

void fake_unlock(void)
{
    LeaveCriticalSection(&state);
}

char *FakeControl(const char *request)
{
    fake_start();
    return answer(request);
}

void FakeFree(char *reply)
{
    free(reply);
}
