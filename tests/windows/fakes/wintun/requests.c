/* What a test may ask of the fake wintun.dll; see wintun.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "wintun.h"

EXPORT BOOL FakeInject(const BYTE *packet, DWORD size);
EXPORT DWORD FakeTake(BYTE *packet, DWORD room);

static void write_adapters(struct text *reply)
{
    text_key(reply, "adapters");
    text_append(reply, "[");
    for (const struct adapter *one = adapters; one; one = one->next) {
        const GUID *g = &one->guid;
        if (!one->open) continue;
        text_comma(reply);
        text_append(reply, "{");
        text_member(reply, "name", one->name);
        text_member(reply, "tunnelType", one->tunnel_type);
        text_append(reply, ",\"guid\":\"%08lx-%04x-%04x-", g->Data1, g->Data2, g->Data3);
        for (int i = 0; i < 8; i++) text_append(reply, i == 2 ? "-%02x" : "%02x", g->Data4[i]);
        text_append(reply, "\",\"luid\":\"%llu\"", (unsigned long long)one->luid);
        text_append(reply, ",\"session\":%s", one->session ? "true" : "false");
        text_member_integer(reply, "capacity", one->session ? one->session->capacity : 0);
        text_append(reply, "}");
    }
    text_append(reply, "]");
}

static struct session *session_of(const struct json *request)
{
    struct adapter *adapter = adapter_named(json_text(request, "adapter", NULL));
    return adapter ? adapter->session : NULL;
}

static DWORD from_hex(const char *hex, BYTE *out)
{
    DWORD size = 0;
    for (unsigned byte; size < MAX_PACKET && sscanf(hex, "%2x", &byte) == 1; hex += 2) {
        out[size++] = (BYTE)byte;
        if (!hex[1]) break;
    }
    return size;
}

static bool inject_all(const struct json *request, struct text *reply)
{
    static BYTE packet[MAX_PACKET];
    struct session *session = session_of(request);
    const struct json *packets = json_get(request, "packets");
    int queued = 0, lost = 0;
    if (!session) return false;
    for (const struct json *one = packets ? packets->first : NULL; one; one = one->next) {
        DWORD size = one->type == JSON_STRING ? from_hex(one->text, packet) : 0;
        if (inject(session, packet, size)) queued++;
        else lost++;
    }
    text_member_integer(reply, "queued", queued);
    text_member_integer(reply, "dropped", lost);
    return true;
}

static void take_all(struct text *reply)
{
    text_key(reply, "packets");
    text_append(reply, "[");
    for (struct packet *packet = pop(&sent); packet; packet = pop(&sent)) {
        text_comma(reply);
        text_append(reply, "\"");
        for (DWORD i = 0; i < packet->size; i++) text_append(reply, "%02x", packet->data[i]);
        text_append(reply, "\"");
        free(packet);
    }
    text_append(reply, "]");
}

static bool carry_out(const char *op, const struct json *request, struct text *reply)
{
    if (!strcmp(op, "adapters")) write_adapters(reply);
    else if (!strcmp(op, "inject")) return inject_all(request, reply);
    else if (!strcmp(op, "take")) take_all(reply);
    else if (!strcmp(op, "stall")) {
        stalled = json_truth(request, "on", true);
        for (struct adapter *one = adapters; one; one = one->next)
            if (one->session) drain(one->session);
    } else if (!strcmp(op, "discard")) discarding = json_truth(request, "on", true);
    else if (!strcmp(op, "vanish")) {
        struct adapter *adapter = adapter_named(json_text(request, "adapter", NULL));
        if (adapter) vanish(adapter);
        return adapter != NULL;
    } else if (!strcmp(op, "receiveError")) {
        receive_error = (DWORD)json_integer(request, "code", 13);
        receive_errors = (int)json_integer(request, "times", 1);
    } else if (!strcmp(op, "allocateError")) {
        allocate_error = (DWORD)json_integer(request, "code", ERROR_BUFFER_OVERFLOW);
        allocate_errors = (int)json_integer(request, "times", 1);
    } else return false;
    return true;
}

bool fake_request(const char *op, const struct json *request, struct text *reply)
{
    fake_lock();
    bool done = carry_out(op, request, reply);
    fake_unlock();
    return done;
}

void fake_counters(struct text *reply)
{
    fake_lock();
    write_adapter_counters(reply);
    write_packet_counters(reply);
    fake_unlock();
}

void fake_reset(void)
{
    fake_lock();
    free_sessions();
    forget_adapters();
    fake_unlock();
}

BOOL FakeInject(const BYTE *packet, DWORD size)
{
    fake_start();
    fake_lock();
    struct adapter *adapter = adapter_named(NULL);
    BOOL queued = adapter && adapter->session && inject(adapter->session, packet, size);
    fake_unlock();
    return queued;
}

DWORD FakeTake(BYTE *data, DWORD room)
{
    fake_start();
    fake_lock();
    struct packet *packet = sent.first && sent.first->size <= room ? pop(&sent) : NULL;
    fake_unlock();
    DWORD size = packet ? packet->size : 0;
    if (packet) memcpy(data, packet->data, size);
    free(packet);
    return size;
}
