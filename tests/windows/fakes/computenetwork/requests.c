/* What a test may ask of the fake HNS; see hcn.h. */
#include <string.h>
#include "hcn.h"

#define SETTLE_MS 200

int settle_ms = SETTLE_MS;

static struct json *copy_of(const struct json *value)
{
    char why[8];
    struct text text = { 0 };
    text_json(&text, value);
    struct json *copy = json_parse(text.data, why, sizeof why);
    text_free(&text);
    return copy;
}

static bool set_adapters(const struct json *request)
{
    const struct json *names = json_get(request, "names");
    json_free(adapters);
    adapters = names ? copy_of(names) : NULL;
    return names != NULL;
}

static bool add_container(const struct json *request)
{
    GUID id;
    struct object *namespace = parse_guid(json_text(request, "namespace", ""), &id, false)
        ? find_object(KIND_NAMESPACE, &id) : NULL;
    if (namespace) add_resource(namespace, "Container", json_text(request, "id", ""));
    return namespace != NULL;
}

static bool carry_out(const char *op, const struct json *request, struct text *reply)
{
    if (!strcmp(op, "state")) write_state(reply);
    else if (!strcmp(op, "put")) return put_object(request);
    else if (!strcmp(op, "forget")) {
        spoil_handles();
        if (json_truth(request, "objects", false)) forget_objects();
    } else if (!strcmp(op, "settle")) settle_ms = (int)json_integer(request, "ms", SETTLE_MS);
    else if (!strcmp(op, "assign"))
        return has_assigned_id = parse_guid(json_text(request, "id", ""), &assigned_id, false);
    else if (!strcmp(op, "assignIp")) return parse_ipv4(json_text(request, "ip", ""), &assigned_ip);
    else if (!strcmp(op, "adapters")) return set_adapters(request);
    else if (!strcmp(op, "container")) return add_container(request);
    else if (!strcmp(op, "vnics")) vnic_ms = (int)json_integer(request, "ms", vnic_ms);
    else if (!strcmp(op, "handles")) write_handles(reply);
    else return false;
    return true;
}

bool fake_request(const char *op, const struct json *request, struct text *reply)
{
    state_enter();
    bool done = carry_out(op, request, reply);
    state_leave();
    return done;
}

void fake_counters(struct text *reply)
{
    fake_lock();
    write_handle_counters(reply);
    fake_unlock();
    write_string_counters(reply);
}

void fake_reset(void)
{
    state_enter();
    close_all_handles();
    forget_strings();
    forget_objects();
    json_free(adapters);
    adapters = NULL;
    settle_ms = SETTLE_MS;
    has_assigned_id = false;
    assigned_ip = 0;
    state_leave();
}
