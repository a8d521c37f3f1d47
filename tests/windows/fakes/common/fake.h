/*
 * What every fake library has: a script of what goes wrong, a log of calls, a list of violations, checks of the
 * caller's pointers, and the two exports by which a test steers it.
 *
 *   char *FakeControl(const char *request)   JSON in, JSON out, both UTF-8; never fails
 *   void FakeFree(char *reply)
 *
 * Requests are objects with a member "op":
 *
 *   script      {"function", "call"?, "times"?, "when"?, "action", ...} see below; rules add up, the first wins
 *   unscript    takes all rules back
 *   release     lets every call that hangs go on
 *   abandon     every call that hangs ends, one that hangs before its work without doing it: as if the process
 *               that made it were gone. What it holds stays handed out until reset
 *   log         {"log": [{"n", "function", ..., "thread", "result"}]}; result is null while a call is under way
 *   violations  {"violations": ["..."]}
 *   counters    {"calls", "inFlight", "hanging", ...}; the library adds its own
 *   reset       everything as after loading; handles that are open stay known as closed
 *
 * A rule is for one function, or "*" for all. It waits for the call-th matching call from now (1 by default) and
 * then holds for `times` of them (1; 0 for all later ones). `when` is "before" the call does its work (default) or "after"
 * it. Actions: "fail" with "code" and "record"; "hang" until release; "delay" by "ms"; "kill" ends the process
 * with exit code "code" (137). A failing call does its work first when `when` is "after".
 *
 * Libraries outlive dlclose: what they stand for does too. The environment variable FAKE_SCRIPT may hold an
 * array of requests that are carried out at load, FAKE_LOG a file to which each call is appended.
 *
 * For a process that knows nothing of fakes: with FAKE_PIPE=P a library LIB.dll takes requests, a line each and one
 * for each connection, on the pipe \\.\pipe\P-LIB from its first call on; with FAKE_REPORT naming a directory, it
 * leaves its violations and counters there in LIB-<pid>.json, made at that call, when the process ends by
 * ExitProcess.
 */
#ifndef FAKES_FAKE_H
#define FAKES_FAKE_H

#include <windows.h>
#include "json.h"

/* One call of an exported function, from its begin to its end. */
struct call {
    const char *function;
    int number;
    struct rule *rule;   /* what the script says, or NULL */
    bool fails;          /* the script wants `code` instead of the result */
    bool skips;          /* ... and nothing done */
    int64_t code;
    char *record;        /* the scripted error record, or NULL; call_end() frees it */
};

/*
 * Enters the call into the log with its facts, further members of the entry such as `"id":"..."`, and does what the
 * script says about it. Takes facts over.
 */
void call_begin(struct call *call, const char *function, struct text *facts);
/* Does what the script has for after the call; to be called before the result is read from call->code. */
void call_after(struct call *call);
/* Completes the log entry; result is printf text without quotes. */
void call_end(struct call *call, const char *result, ...) __attribute__((format(gnu_printf, 2, 3)));

/* Records that the caller broke a rule. */
void violation(const char *format, ...) __attribute__((format(gnu_printf, 1, 2)));
/* A copy for the caller of printf text. */
char *text_of(const char *format, ...) __attribute__((format(gnu_printf, 1, 2)));

/* One lock for the library's own state; not held by a call that hangs. */
void fake_lock(void);
void fake_unlock(void);

/* Every export calls it first: reads the environment, once. */
void fake_start(void);

/* Whether so many bytes may be read or written there, as far as the pages' protection tells. */
bool is_readable(const void *pointer, size_t size);
bool is_writable(void *pointer, size_t size);
/*
 * The caller's UTF-16 text as UTF-8, to be freed; NULL when the pointer is NULL, has no NUL within its pages or
 * holds a lone surrogate, all but the first with a violation.
 */
char *read_wide(const char *function, const char *parameter, const wchar_t *text);
/* The caller's out-parameter may be written, and was zero; otherwise a violation. */
bool check_out(const char *function, const char *parameter, void *out, size_t size);

/* Sends a request to the fake in this process that has that export; false when there is none. */
bool ask_fake(const char *export, const char *request);
/* Name of this library's file, without its extension. */
void own_name(wchar_t name[MAX_PATH]);
/* Loads a library that lies beside this one; false when none does. */
bool load_neighbour(const wchar_t *name);

/* Each library's own: requests that are not common (false = unknown), counters, and forgetting everything. */
bool fake_request(const char *op, const struct json *request, struct text *reply);
void fake_counters(struct text *reply);
void fake_reset(void);

#define EXPORT __declspec(dllexport)

#endif
