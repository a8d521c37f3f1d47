/* What a test may ask of the fake SCM; see scm_fake.h. */
#include <string.h>
#include "scm_fake.h"

bool fake_request(const char *op, const struct json *request, struct text *reply)
{
    if (!strcmp(op, "arm")) return arm(request);
    if (!strcmp(op, "control")) return send_control(request);
    if (!strcmp(op, "setState")) return set_state(request);
    if (!strcmp(op, "controls")) write_controls(reply);
    else if (!strcmp(op, "statuses")) write_statuses(reply);
    else if (!strcmp(op, "services")) write_services(reply);
    else return false;
    return true;
}

void fake_counters(struct text *reply)
{
    write_handle_counters(reply);
}

void fake_reset(void)
{
    forget_dispatcher();
    forget_services();
}
