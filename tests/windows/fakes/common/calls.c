/* The script and the log of calls; see fake.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_private.h"

struct rule {
    char function[64];
    int skip;            /* matching calls that pass before it holds */
    int times;           /* calls it still holds for; -1 for ever */
    bool after;
    enum { RULE_FAIL, RULE_HANG, RULE_DELAY, RULE_KILL } action;
    int64_t code;
    DWORD ms;
    char *record;
    struct rule *next;
};

struct entry {
    const char *function;
    DWORD thread;
    char *facts, *result;
};

/* What nobody reads: RPC_S_CALL_FAILED as an HRESULT. */
#define CALLER_GONE ((int64_t)0x800706BE)

static struct rule *rules;
static struct entry *entries;
static int entry_count, entry_room, in_flight, hanging, releases;
/* The release that was an end instead. */
static int abandoned = -1;
static CONDITION_VARIABLE released;
/* Guards what stands above; never held while a library's own lock is asked for. */
static SRWLOCK lock = SRWLOCK_INIT;

static void append_to_file(const struct entry *entry)
{
    wchar_t path[MAX_PATH];
    if (!GetEnvironmentVariableW(L"FAKE_LOG", path, MAX_PATH)) return;
    FILE *file = _wfopen(path, L"a");
    if (!file) return;
    fprintf(file, "{\"function\":\"%s\"%s%s}\n", entry->function, *entry->facts ? "," : "", entry->facts);
    fclose(file);
}

static int new_entry(const char *function, char *facts)
{
    if (entry_count == entry_room) {
        entry_room = entry_room * 2 + 64;
        entries = realloc(entries, (size_t)entry_room * sizeof *entries);
        if (!entries) abort();
    }
    entries[entry_count] = (struct entry){ function, GetCurrentThreadId(), facts, NULL };
    append_to_file(&entries[entry_count]);
    return entry_count++;
}

/* The first rule that holds for this call; rules that wait for a later one count it. */
static struct rule *match(const char *function)
{
    struct rule *found = NULL;
    for (struct rule *rule = rules; rule; rule = rule->next) {
        if (rule->times == 0 || (strcmp(rule->function, "*") && strcmp(rule->function, function))) continue;
        if (rule->skip > 0) {
            rule->skip--;
        } else if (!found) {
            found = rule;
            if (rule->times > 0) rule->times--;
        }
    }
    return found;
}

/* True when the call goes on; false when its caller is gone. */
static bool hang(void)
{
    AcquireSRWLockExclusive(&lock);
    int generation = releases;
    hanging++;
    while (generation == releases) SleepConditionVariableSRW(&released, &lock, INFINITE, 0);
    hanging--;
    bool goes_on = generation != abandoned;
    ReleaseSRWLockExclusive(&lock);
    return goes_on;
}

static void act(struct call *call)
{
    switch (call->rule->action) {
    case RULE_HANG:
        if (hang()) break;
        call->fails = true;
        call->code = CALLER_GONE;
        break;
    case RULE_DELAY: Sleep(call->rule->ms); break;
    case RULE_KILL: TerminateProcess(GetCurrentProcess(), (UINT)call->rule->code); break;
    case RULE_FAIL:
        call->fails = true;
        call->code = call->rule->code;
        call->record = call->rule->record ? _strdup(call->rule->record) : NULL;
    }
}

void call_begin(struct call *call, const char *function, struct text *facts)
{
    *call = (struct call){ .function = function };
    AcquireSRWLockExclusive(&lock);
    call->number = new_entry(function, facts->data ? facts->data : _strdup(""));
    call->rule = match(function);
    in_flight++;
    ReleaseSRWLockExclusive(&lock);
    if (call->rule && !call->rule->after) act(call);
    call->skips = call->fails;
}

void call_after(struct call *call)
{
    if (call->rule && call->rule->after) act(call);
}

void call_end(struct call *call, const char *result, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, result);
    vsnprintf(text, sizeof text, result, arguments);
    va_end(arguments);
    AcquireSRWLockExclusive(&lock);
    /* The log may have been emptied meanwhile. */
    if (call->number < entry_count && !entries[call->number].result) entries[call->number].result = _strdup(text);
    in_flight--;
    ReleaseSRWLockExclusive(&lock);
    free(call->record);
    call->record = NULL;
}

bool add_rule(const struct json *request, struct text *why)
{
    static const char *const actions[] = { "fail", "hang", "delay", "kill" };
    const char *action = json_text(request, "action", "fail"), *when = json_text(request, "when", "before");
    struct rule *rule = calloc(1, sizeof *rule), **tail = &rules;
    size_t kind = 0;
    while (kind < 4 && strcmp(actions[kind], action)) kind++;
    snprintf(rule->function, sizeof rule->function, "%s", json_text(request, "function", ""));
    if (kind == 4 || !*rule->function || (strcmp(when, "before") && strcmp(when, "after"))) {
        free(rule);
        text_append(why, "a rule needs function, an action of fail, hang, delay or kill, and when before or after");
        return false;
    }
    const char *record = json_text(request, "record", NULL);
    rule->action = kind;
    rule->after = !strcmp(when, "after");
    rule->skip = (int)json_integer(request, "call", 1) - 1;
    rule->times = (int)json_integer(request, "times", 1);
    if (rule->times == 0) rule->times = -1;
    rule->code = json_integer(request, "code", kind == RULE_KILL ? 137 : 0);
    rule->ms = (DWORD)json_integer(request, "ms", 0);
    rule->record = record ? _strdup(record) : NULL;
    AcquireSRWLockExclusive(&lock);
    while (*tail) tail = &(*tail)->next;
    *tail = rule;
    ReleaseSRWLockExclusive(&lock);
    return true;
}

/* Rules are switched off and kept, since calls under way may still look at theirs. */
void drop_rules(void)
{
    AcquireSRWLockExclusive(&lock);
    for (struct rule *rule = rules; rule; rule = rule->next) rule->times = 0;
    ReleaseSRWLockExclusive(&lock);
}

void release_hanging(void)
{
    AcquireSRWLockExclusive(&lock);
    releases++;
    WakeAllConditionVariable(&released);
    ReleaseSRWLockExclusive(&lock);
}

void abandon_hanging(void)
{
    AcquireSRWLockExclusive(&lock);
    abandoned = releases++;
    WakeAllConditionVariable(&released);
    ReleaseSRWLockExclusive(&lock);
}

void clear_log(void)
{
    AcquireSRWLockExclusive(&lock);
    for (int i = 0; i < entry_count; i++) {
        free(entries[i].facts);
        free(entries[i].result);
    }
    entry_count = 0;
    ReleaseSRWLockExclusive(&lock);
}

void write_log(struct text *reply)
{
    AcquireSRWLockShared(&lock);
    text_key(reply, "log");
    text_append(reply, "[");
    for (int i = 0; i < entry_count; i++) {
        text_comma(reply);
        text_append(reply, "{\"n\":%d,\"thread\":%lu", i + 1, entries[i].thread);
        text_member(reply, "function", entries[i].function);
        if (*entries[i].facts) text_append(reply, ",%s", entries[i].facts);
        text_member(reply, "result", entries[i].result);
        text_append(reply, "}");
    }
    text_append(reply, "]");
    ReleaseSRWLockShared(&lock);
}

void write_call_counters(struct text *reply)
{
    AcquireSRWLockShared(&lock);
    text_member_integer(reply, "calls", entry_count);
    text_member_integer(reply, "inFlight", in_flight);
    text_member_integer(reply, "hanging", hanging);
    ReleaseSRWLockShared(&lock);
}
