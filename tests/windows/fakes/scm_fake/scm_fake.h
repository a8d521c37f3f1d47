/*
 * A fake Service Control Manager behind the functions of advapi32.dll: for the service, its dispatcher and its status;
 * for an installer, the database of services. The database does not start processes.
 *
 * Requests besides those of fake.h:
 *
 *   arm       {"name", "arguments": [..]}: this process was started by the SCM, so the dispatcher will take it;
 *             otherwise the dispatcher answers 0 at once, last error 1063
 *   control   {"code", "event"}: sends a control from the dispatcher's thread, as the SCM does; refused by the
 *             fake when the service did not say that it accepts it
 *   controls  {"controls": [{"code", "result", "ms"}]}: what the handler returned, and after how long; result is
 *             null while it runs
 *   statuses  {"statuses": [{"type", "state", "accepts", "exitCode", "specificExitCode", "checkPoint",
 *             "waitHint"}]} in order
 *   services  {"services": [{"name", "displayName", "type", "start", "errorControl", "path", "account",
 *             "dependencies", "state", "description", "delayed", "restarts", "preshutdownMs"}]}
 *   setState  {"name", "state"}: a service of the database runs (4), or does not (1)
 */
#ifndef FAKES_SCM_FAKE_H
#define FAKES_SCM_FAKE_H

/* The functions are ours to define, not to import. */
#define _ADVAPI32_
#include "../common/fake.h"

/* dispatcher.c */
bool arm(const struct json *request);
bool send_control(const struct json *request);
void write_controls(struct text *reply);
void write_statuses(struct text *reply);
void forget_dispatcher(void);

/* services.c */
void write_services(struct text *reply);
bool set_state(const struct json *request);
void write_handle_counters(struct text *reply);
void forget_services(void);

#endif
