/* Routes; see iphlpapi_fake.h. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "iphlpapi_fake.h"

_Static_assert(sizeof(MIB_IPFORWARD_ROW2) == 104, "size");
_Static_assert(offsetof(MIB_IPFORWARD_ROW2, DestinationPrefix) == 12, "DestinationPrefix");
_Static_assert(offsetof(MIB_IPFORWARD_ROW2, DestinationPrefix.PrefixLength) == 40, "PrefixLength");
_Static_assert(offsetof(MIB_IPFORWARD_ROW2, NextHop) == 44, "NextHop");
_Static_assert(offsetof(MIB_IPFORWARD_ROW2, Metric) == 84, "Metric");
_Static_assert(offsetof(MIB_IPFORWARD_ROW2, Protocol) == 88, "Protocol");

struct route *routes;

static bool same_route(const MIB_IPFORWARD_ROW2 *a, const MIB_IPFORWARD_ROW2 *b)
{
    return a->InterfaceLuid.Value == b->InterfaceLuid.Value &&
           a->DestinationPrefix.PrefixLength == b->DestinationPrefix.PrefixLength &&
           same_address(&a->DestinationPrefix.Prefix, &b->DestinationPrefix.Prefix) &&
           same_address(&a->NextHop, &b->NextHop);
}

static struct route **find(const MIB_IPFORWARD_ROW2 *row)
{
    struct route **link = &routes;
    while (*link && !same_route(&(*link)->row, row)) link = &(*link)->next;
    return link;
}

static void drop(struct route **link)
{
    struct route *route = *link;
    *link = route->next;
    const struct nic *on = interface_of(route->row.InterfaceLuid.Value, 0);
    if (on) notify(CHANGED_ROUTE, route->row.NextHop.si_family, on, MibDeleteInstance);
    free(route);
}

void forget_routes(const struct nic *of)
{
    for (struct route **link = &routes; *link;) {
        if ((*link)->row.InterfaceLuid.Value == of->luid) drop(link);
        else link = &(*link)->next;
    }
}

void write_routes(struct text *out)
{
    text_key(out, "routes");
    text_append(out, "[");
    for (const struct route *one = routes; one; one = one->next) {
        text_comma(out);
        text_append(out, "{");
        text_address(out, "destination", &one->row.DestinationPrefix.Prefix);
        text_address(out, "nextHop", &one->row.NextHop);
        text_append(out, ",\"luid\":\"%llu\",\"prefixLength\":%d,\"metric\":%lu,\"protocol\":%d}",
                    (unsigned long long)one->row.InterfaceLuid.Value, one->row.DestinationPrefix.PrefixLength,
                    one->row.Metric, (int)one->row.Protocol);
    }
    text_append(out, "]");
}

static bool has_host_bits(const IP_ADDRESS_PREFIX *prefix)
{
    const BYTE *bytes = address_bytes(&prefix->Prefix);
    for (int bit = prefix->PrefixLength; bit < address_bits(prefix->Prefix.si_family); bit++)
        if (bytes[bit / 8] & 0x80 >> bit % 8) return true;
    return false;
}

/* Destination and next hop are of one family, and whole. */
static bool is_route(const char *function, const MIB_IPFORWARD_ROW2 *row)
{
    const IP_ADDRESS_PREFIX *to = &row->DestinationPrefix;
    if (!is_address(function, &to->Prefix) || !is_address(function, &row->NextHop)) return false;
    if (to->Prefix.si_family != row->NextHop.si_family) return false;
    return to->PrefixLength <= address_bits(to->Prefix.si_family);
}

bool enter_route(const MIB_IPFORWARD_ROW2 *row)
{
    if (*find(row)) return false;
    struct route *route = calloc(1, sizeof *route);
    const struct nic *on = interface_of(row->InterfaceLuid.Value, 0);
    if (!route) abort();
    *route = (struct route){ .row = *row, .next = routes };
    route->row.InterfaceIndex = on->index;
    routes = route;
    notify(CHANGED_ROUTE, row->NextHop.si_family, on, MibAddInstance);
    return true;
}

bool remove_route(const MIB_IPFORWARD_ROW2 *row)
{
    struct route **link = find(row);
    if (!*link) return false;
    drop(link);
    return true;
}

static DWORD create(const char *function, void *given)
{
    const MIB_IPFORWARD_ROW2 *row = given;
    if (!is_route(function, row) || has_host_bits(&row->DestinationPrefix)) return ERROR_INVALID_PARAMETER;
    if (row->SitePrefixLength != 255 && row->SitePrefixLength > row->DestinationPrefix.PrefixLength)
        return ERROR_INVALID_PARAMETER;
    if (!row->ValidLifetime || row->PreferredLifetime > row->ValidLifetime) return ERROR_INVALID_PARAMETER;
    const struct nic *on =
        stack_interface(row->InterfaceLuid.Value, row->InterfaceIndex, row->NextHop.si_family);
    if (!on) return ERROR_NOT_FOUND;
    MIB_IPFORWARD_ROW2 copy = *row;
    copy.InterfaceLuid.Value = on->luid;
    return enter_route(&copy) ? NO_ERROR : ERROR_OBJECT_ALREADY_EXISTS;
}

static DWORD delete(const char *function, void *row)
{
    if (!is_route(function, row)) return ERROR_INVALID_PARAMETER;
    struct route **link = find(row);
    if (!*link) return ERROR_NOT_FOUND;
    drop(link);
    return NO_ERROR;
}

static DWORD get(const char *function, void *row)
{
    if (!is_route(function, row)) return ERROR_INVALID_PARAMETER;
    struct route **link = find(row);
    if (!*link) return ERROR_NOT_FOUND;
    memcpy(row, &(*link)->row, sizeof (*link)->row);
    return NO_ERROR;
}

static DWORD set(const char *function, void *row)
{
    if (!is_route(function, row)) return ERROR_INVALID_PARAMETER;
    struct route **link = find(row);
    if (!*link) return ERROR_NOT_FOUND;
    memcpy(&(*link)->row, row, sizeof (*link)->row);
    return NO_ERROR;
}

EXPORT void WINAPI InitializeIpForwardEntry(PMIB_IPFORWARD_ROW2 row)
{
    memset(row, 0, sizeof *row);
    row->ValidLifetime = row->PreferredLifetime = 0xFFFFFFFF;
    row->Loopback = row->AutoconfigureAddress = row->Publish = row->Immortal = TRUE;
    row->SitePrefixLength = 255;
    row->Metric = 0xFFFFFFFF;
    row->Protocol = -1;
}

static DWORD logged(const char *function, const MIB_IPFORWARD_ROW2 *row, row_work work)
{
    struct text facts = { 0 };
    if (is_readable(row, sizeof *row)) {
        text_address(&facts, "destination", &row->DestinationPrefix.Prefix);
        text_member_integer(&facts, "prefixLength", row->DestinationPrefix.PrefixLength);
        text_append(&facts, ",\"luid\":\"%llu\"", (unsigned long long)row->InterfaceLuid.Value);
    }
    return run(function, (void *)row, sizeof *row, work, &facts);
}

EXPORT NETIO_STATUS WINAPI CreateIpForwardEntry2(const MIB_IPFORWARD_ROW2 *row)
{
    return logged("CreateIpForwardEntry2", row, create);
}

EXPORT NETIO_STATUS WINAPI DeleteIpForwardEntry2(const MIB_IPFORWARD_ROW2 *row)
{
    return logged("DeleteIpForwardEntry2", row, delete);
}

EXPORT NETIO_STATUS WINAPI GetIpForwardEntry2(PMIB_IPFORWARD_ROW2 row)
{
    return logged("GetIpForwardEntry2", row, get);
}

EXPORT NETIO_STATUS WINAPI SetIpForwardEntry2(const MIB_IPFORWARD_ROW2 *row)
{
    return logged("SetIpForwardEntry2", row, set);
}

EXPORT NETIO_STATUS WINAPI GetIpForwardTable2(ADDRESS_FAMILY family, PMIB_IPFORWARD_TABLE2 *out)
{
    stack_start();
    if (!check_out("GetIpForwardTable2", "Table", out, sizeof *out)) return ERROR_INVALID_PARAMETER;
    if (family != AF_UNSPEC && family_number(family) < 0) return ERROR_INVALID_PARAMETER;
    fake_lock();
    size_t count = 0;
    for (const struct route *one = routes; one; one = one->next) count++;
    MIB_IPFORWARD_TABLE2 *data = new_table(sizeof *data + count * sizeof *data->Table);
    for (const struct route *one = routes; one; one = one->next)
        if (family == AF_UNSPEC || one->row.NextHop.si_family == family) data->Table[data->NumEntries++] = one->row;
    fake_unlock();
    *out = data;
    return NO_ERROR;
}
