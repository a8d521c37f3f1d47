/* Addresses as such, the frame of the logged calls, and what a test may ask; see iphlpapi_fake.h. */
#include <string.h>
#include "iphlpapi_fake.h"

_Static_assert(sizeof(SOCKADDR_INET) == 28, "SOCKADDR_INET");

/* HNS is a service of its own: its adapters are there before this process has asked it for anything. */
static BOOL CALLBACK meet_hns(PINIT_ONCE unused, void *parameter, void **context)
{
    (void)unused, (void)parameter, (void)context;
    if (GetEnvironmentVariableW(L"FAKE_HNS_STATE", NULL, 0) && load_neighbour(L"computenetwork.dll"))
        ask_fake("HcnCreateNetwork", "{\"op\":\"vnics\"}");
    return TRUE;
}

void stack_start(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    fake_start();
    InitOnceExecuteOnce(&once, meet_hns, NULL, NULL);
}

bool is_zero_address(const SOCKADDR_INET *address)
{
    static const BYTE zero[16];
    return !memcmp(address_bytes(address), zero, (size_t)address_bits(address->si_family) / 8);
}

int family_number(ADDRESS_FAMILY family)
{
    return family == AF_INET ? 0 : family == AF_INET6 ? 1 : -1;
}

int address_bits(ADDRESS_FAMILY family)
{
    return family == AF_INET6 ? 128 : 32;
}

const BYTE *address_bytes(const SOCKADDR_INET *address)
{
    return (const BYTE *)address + (address->si_family == AF_INET6 ? 8 : 4);
}

bool is_address(const char *function, const SOCKADDR_INET *address)
{
    const BYTE *bytes = (const BYTE *)address;
    if (family_number(address->si_family) < 0) return false;
    bool tail = false;
    for (int i = 8; address->si_family == AF_INET && i < 28; i++) tail |= bytes[i] != 0;
    if (tail || bytes[2] || bytes[3]) violation("%s: an address with bytes that its family does not have", function);
    return true;
}

bool same_address(const SOCKADDR_INET *a, const SOCKADDR_INET *b)
{
    return a->si_family == b->si_family &&
           !memcmp(address_bytes(a), address_bytes(b), (size_t)address_bits(a->si_family) / 8);
}

void text_address(struct text *out, const char *key, const SOCKADDR_INET *address)
{
    const BYTE *b = address_bytes(address);
    text_key(out, key);
    if (address->si_family == AF_INET) {
        text_append(out, "\"%d.%d.%d.%d\"", b[0], b[1], b[2], b[3]);
        return;
    }
    text_append(out, "\"");
    for (int i = 0; i < 16; i += 2) text_append(out, i ? ":%x" : "%x", b[i] << 8 | b[i + 1]);
    text_append(out, "\"");
}

DWORD run(const char *function, void *row, size_t size, row_work work, struct text *facts)
{
    struct call call;
    DWORD code = ERROR_INVALID_PARAMETER;
    stack_start();
    bool good = is_readable(row, size);
    if (!good) violation("%s: Row cannot be read", function);
    call_begin(&call, function, facts);
    if (call.skips) code = (DWORD)call.code;
    else if (good) {
        fake_lock();
        code = work(function, row);
        fake_unlock();
    }
    call_after(&call);
    if (call.fails) code = (DWORD)call.code;
    call_end(&call, "%lu", code);
    return code;
}

bool fake_request(const char *op, const struct json *request, struct text *reply)
{
    bool done = true;
    fake_lock();
    if (!strcmp(op, "interface")) done = change_interface(request);
    else if (!strcmp(op, "address")) done = somebody_sets_address(request);
    else if (!strcmp(op, "route")) done = somebody_sets_route(request);
    else if (!strcmp(op, "mtu")) done = somebody_sets_mtu(request);
    else if (!strcmp(op, "flags")) done = somebody_sets_flags(request);
    else if (!strcmp(op, "bind")) bind_ms = (int)json_integer(request, "ms", 0);
    else done = !strcmp(op, "dump");
    /* Before anybody can change it again. */
    if (done) {
        write_interfaces(reply);
        write_addresses(reply);
        write_routes(reply);
    }
    fake_unlock();
    return done;
}

void fake_counters(struct text *reply)
{
    fake_lock();
    write_table_counters(reply);
    write_interface_counters(reply);
    fake_unlock();
    write_notification_counters(reply);
}

void fake_reset(void)
{
    forget_notifications();
    fake_lock();
    forget_interfaces();
    forget_tables();
    fake_unlock();
}
