/*
 * A fake of the functions of iphlpapi.dll that change addresses, routes and interfaces, which Wine lacks. One
 * compartment; an interface is known by its LUID. Refusals and codes as Microsoft documents them for each function.
 *
 * Requests besides those of fake.h; LUIDs are decimal text, as they do not fit in a double:
 *
 *   interface  {"luid", "alias", "present", "up", "families": [2, 23], "bindMs", "address", "gateway", "lasts"}: an
 *              interface comes, changes or goes (present false). For bindMs after it came the IP stack does not know
 *              it yet: 1168. The fake Wintun announces its adapters so, the fake HNS the host's adapters on its
 *              networks, which last longer than a process. "address" is "10.0.0.1/24"; that another interface has it
 *              is a violation. "gateway" makes a default route.
 *   address    {"luid", "address", "present"}: somebody sets or removes an address
 *   route      {"luid", "destination", "nextHop", "present"}: likewise a route
 *   mtu        {"luid", "bytes", "family": 2}: likewise an MTU
 *   flags      {"luid", "forwarding", "weakHostSend", "weakHostReceive", "family": 2}: likewise what an interface lets
 *              pass
 *   bind       {"ms"}: what bindMs is when absent; 0 at first
 *   dump       {"interfaces", "addresses", "routes"}
 */
#ifndef FAKES_IPHLPAPI_FAKE_H
#define FAKES_IPHLPAPI_FAKE_H

#include <winsock2.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>
#include <netioapi.h>
#include "../common/fake.h"

#define FAMILIES 2

struct nic {
    ULONG64 luid;
    unsigned index;
    char *alias;
    bool up, lasts;
    ULONGLONG bound;                      /* GetTickCount64 from which the stack knows it */
    bool has[FAMILIES];
    MIB_IPINTERFACE_ROW rows[FAMILIES];
    struct nic *next;
};

struct address {
    MIB_UNICASTIPADDRESS_ROW row;
    struct address *next;
};

struct route {
    MIB_IPFORWARD_ROW2 row;
    struct route *next;
};

/* 0 for AF_INET, 1 for AF_INET6, -1 otherwise. */
int family_number(ADDRESS_FAMILY family);
int address_bits(ADDRESS_FAMILY family);
const BYTE *address_bytes(const SOCKADDR_INET *address);
/* Family known, port and everything that the family does not use zero; otherwise a violation or 87. */
bool is_address(const char *function, const SOCKADDR_INET *address);
bool same_address(const SOCKADDR_INET *a, const SOCKADDR_INET *b);
void text_address(struct text *out, const char *key, const SOCKADDR_INET *address);

bool is_zero_address(const SOCKADDR_INET *address);
/* What fake_start() does, and what the rest of the host has here already. */
void stack_start(void);

/* interfaces.c; all inside fake_lock. */
extern struct nic *interfaces;
struct nic *interface_of(ULONG64 luid, unsigned index);
/* The same, of a family and bound to the stack. */
struct nic *stack_interface(ULONG64 luid, unsigned index, ADDRESS_FAMILY family);
bool change_interface(const struct json *request);
void write_interfaces(struct text *out);
void write_interface_counters(struct text *out);
void forget_interfaces(void);
extern int bind_ms;

/* addresses.c; false when it is there already, or not */
extern struct address *addresses;
bool enter_address(const MIB_UNICASTIPADDRESS_ROW *row);
bool remove_address(const MIB_UNICASTIPADDRESS_ROW *row);
void write_addresses(struct text *out);
void forget_addresses(const struct nic *of);

/* routes.c; the same */
extern struct route *routes;
bool enter_route(const MIB_IPFORWARD_ROW2 *row);
bool remove_route(const MIB_IPFORWARD_ROW2 *row);
void write_routes(struct text *out);
void forget_routes(const struct nic *of);

/* tables.c */
void *new_table(size_t size);
void write_table_counters(struct text *out);
void forget_tables(void);

/* notifications.c: callable from anywhere */
enum change { CHANGED_ADDRESS, CHANGED_ROUTE, CHANGED_INTERFACE };
void notify(enum change kind, ADDRESS_FAMILY family, const struct nic *on, MIB_NOTIFICATION_TYPE type);
void write_notification_counters(struct text *out);
void forget_notifications(void);

/* somebody.c */
bool parse_prefix_text(const char *text, SOCKADDR_INET *address, int *length);
bool somebody_sets_address(const struct json *request);
bool somebody_sets_route(const struct json *request);
bool somebody_sets_mtu(const struct json *request);
bool somebody_sets_flags(const struct json *request);

/* Logs a call with a row, does it inside fake_lock and gives its code. */
typedef DWORD (*row_work)(const char *function, void *row);
DWORD run(const char *function, void *row, size_t size, row_work work, struct text *facts);

#endif
