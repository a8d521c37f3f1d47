/* Handles: never used twice, so that use after close is seen. */
#include <stdio.h>
#include <stdlib.h>
#include "hcn.h"

struct handle {
    enum kind kind;
    GUID id;
    bool open, spoilt;
    struct handle *next;
};

static struct handle *handles;
static int opened[KINDS], closed[KINDS];

void *open_handle(enum kind kind, const GUID *id)
{
    struct handle *handle = calloc(1, sizeof *handle), **tail = &handles;
    if (!handle) abort();
    *handle = (struct handle){ .kind = kind, .id = *id, .open = true };
    while (*tail) tail = &(*tail)->next;
    *tail = handle;
    opened[kind]++;
    return handle;
}

/* The handle if it is open and of that kind; otherwise NULL, with a violation. */
static struct handle *find(const char *function, const void *value, enum kind kind)
{
    struct handle *handle = handles;
    while (handle && handle != value) handle = handle->next;
    if (!handle) violation("%s: %p is no handle", function, value);
    else if (!handle->open) violation("%s: the %s handle was closed before", function, KIND_NAMES[handle->kind]);
    else if (handle->kind != kind) violation("%s: got a %s handle", function, KIND_NAMES[handle->kind]);
    else return handle;
    return NULL;
}

struct object *resolve(const char *function, void *value, enum kind kind, struct refusal *no)
{
    static const HRESULT gone[] = { HCN_E_NETWORK_NOT_FOUND, HCN_E_ENDPOINT_NOT_FOUND, HCN_E_ELEMENT_NOT_FOUND };
    /* HNS answers NULL; it is no crime. */
    struct handle *handle = value ? find(function, value, kind) : NULL;
    if (!handle) {
        refuse(no, HCN_E_INVALIDARG, "bad handle");
        return NULL;
    }
    if (handle->spoilt) {
        refuse(no, HCN_E_USED_AFTER_UNLOAD, "the service was restarted");
        return NULL;
    }
    struct object *object = find_object(kind, &handle->id);
    if (!object) refuse(no, gone[kind], "the %s is gone", KIND_NAMES[kind]);
    return object;
}

HRESULT close_handle(const char *function, void *value, enum kind kind)
{
    struct handle *handle = find(function, value, kind);
    if (!handle) return HCN_E_INVALIDARG;
    handle->open = false;
    closed[kind]++;
    return HCN_S_OK;
}

int open_handles(enum kind kind, const GUID *id)
{
    int count = 0;
    for (const struct handle *one = handles; one; one = one->next)
        count += one->open && one->kind == kind && IsEqualGUID(&one->id, id);
    return count;
}

void spoil_handles(void)
{
    for (struct handle *one = handles; one; one = one->next) one->spoilt = true;
}

/* Counting starts anew; what is open now is known as closed. */
void close_all_handles(void)
{
    for (struct handle *one = handles; one; one = one->next) one->open = false;
    for (int kind = 0; kind < KINDS; kind++) opened[kind] = closed[kind] = 0;
}

void write_handles(struct text *out)
{
    char id[39];
    text_key(out, "handles");
    text_append(out, "[");
    for (const struct handle *one = handles; one; one = one->next) {
        text_comma(out);
        text_append(out, "{");
        text_member(out, "kind", KIND_NAMES[one->kind]);
        text_member(out, "id", format_guid(id, &one->id, false));
        text_key(out, "open");
        text_append(out, one->open ? "true}" : "false}");
    }
    text_append(out, "]");
}

void write_handle_counters(struct text *out)
{
    int all_opened = 0, all_closed = 0;
    for (int kind = 0; kind < KINDS; kind++) all_opened += opened[kind], all_closed += closed[kind];
    text_member_integer(out, "handlesOpened", all_opened);
    text_member_integer(out, "handlesClosed", all_closed);
    text_member_integer(out, "handlesOpen", all_opened - all_closed);
}
