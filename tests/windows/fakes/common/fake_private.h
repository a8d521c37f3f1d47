/* What the parts of the common code share among themselves. */
#ifndef FAKES_FAKE_PRIVATE_H
#define FAKES_FAKE_PRIVATE_H

#include "fake.h"

bool add_rule(const struct json *request, struct text *why);
void drop_rules(void);
void release_hanging(void);
void abandon_hanging(void);
void clear_log(void);
void write_log(struct text *reply);
void write_call_counters(struct text *reply);
void write_violations(struct text *reply);

/* The reply to a request, to be freed. */
char *answer(const char *request);
/* Listens for requests of other processes. */
void start_remote(void);

#endif
