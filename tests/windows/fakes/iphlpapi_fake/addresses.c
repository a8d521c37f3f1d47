/* Unicast addresses; one of a kind in the compartment. See iphlpapi_fake.h. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "iphlpapi_fake.h"

_Static_assert(sizeof(MIB_UNICASTIPADDRESS_ROW) == 80, "size");
_Static_assert(offsetof(MIB_UNICASTIPADDRESS_ROW, InterfaceLuid) == 32, "InterfaceLuid");
_Static_assert(offsetof(MIB_UNICASTIPADDRESS_ROW, OnLinkPrefixLength) == 60, "OnLinkPrefixLength");
_Static_assert(offsetof(MIB_UNICASTIPADDRESS_ROW, DadState) == 64, "DadState");

static struct address *addresses;
static int tables_given, tables_freed;

static struct address **find(const SOCKADDR_INET *address)
{
    struct address **link = &addresses;
    while (*link && !same_address(&(*link)->row.Address, address)) link = &(*link)->next;
    return link;
}

static void drop(struct address **link)
{
    struct address *address = *link;
    *link = address->next;
    free(address);
}

void forget_addresses(const struct nic *of)
{
    for (struct address **link = &addresses; *link;) {
        if ((*link)->row.InterfaceLuid.Value == of->luid) drop(link);
        else link = &(*link)->next;
    }
}

void write_addresses(struct text *out)
{
    text_key(out, "addresses");
    text_append(out, "[");
    for (const struct address *one = addresses; one; one = one->next) {
        text_comma(out);
        text_append(out, "{");
        text_address(out, "address", &one->row.Address);
        text_append(out, ",\"luid\":\"%llu\",\"prefixLength\":%d,\"dadState\":%d,\"validLifetime\":%lu}",
                    (unsigned long long)one->row.InterfaceLuid.Value, one->row.OnLinkPrefixLength,
                    (int)one->row.DadState, one->row.ValidLifetime);
    }
    text_append(out, "]");
}

/* What no interface can have: nothing, everyone, many. */
static bool is_unicast(const SOCKADDR_INET *address)
{
    static const BYTE zero[16], ones[4] = { 255, 255, 255, 255 };
    const BYTE *bytes = address_bytes(address);
    int size = address_bits(address->si_family) / 8;
    if (!memcmp(bytes, zero, (size_t)size)) return false;
    if (size == 16) return bytes[0] != 0xFF;
    return memcmp(bytes, ones, 4) && (bytes[0] & 0xF0) != 0xE0;
}

static DWORD create(const char *function, void *given)
{
    MIB_UNICASTIPADDRESS_ROW *row = given;
    if (!is_address(function, &row->Address) || !is_unicast(&row->Address)) return ERROR_INVALID_PARAMETER;
    int bits = address_bits(row->Address.si_family);
    if (row->OnLinkPrefixLength > bits && row->OnLinkPrefixLength != 255) return ERROR_INVALID_PARAMETER;
    if (!row->ValidLifetime || row->PreferredLifetime > row->ValidLifetime) return ERROR_INVALID_PARAMETER;
    if ((unsigned)row->DadState > IpDadStatePreferred || row->SkipAsSource > 1) return ERROR_INVALID_PARAMETER;
    const struct nic *on = stack_interface(row->InterfaceLuid.Value, row->InterfaceIndex, row->Address.si_family);
    if (!on) return ERROR_NOT_FOUND;
    if (*find(&row->Address)) return ERROR_OBJECT_ALREADY_EXISTS;
    struct address *address = calloc(1, sizeof *address);
    if (!address) abort();
    address->row = *row;
    address->row.InterfaceLuid.Value = on->luid;
    address->row.InterfaceIndex = on->index;
    if (row->OnLinkPrefixLength == 255) address->row.OnLinkPrefixLength = (BYTE)bits;
    address->next = addresses;
    addresses = address;
    return NO_ERROR;
}

/* The link to the address on that very interface, or NULL with a code. */
static struct address **on_interface(const char *function, const MIB_UNICASTIPADDRESS_ROW *row, DWORD *code)
{
    *code = ERROR_INVALID_PARAMETER;
    if (!is_address(function, &row->Address)) return NULL;
    const struct nic *on = interface_of(row->InterfaceLuid.Value, row->InterfaceIndex);
    struct address **link = find(&row->Address);
    *code = ERROR_NOT_FOUND;
    return on && *link && (*link)->row.InterfaceLuid.Value == on->luid ? link : NULL;
}

static DWORD delete(const char *function, void *row)
{
    DWORD code;
    struct address **link = on_interface(function, row, &code);
    if (!link) return code;
    drop(link);
    return NO_ERROR;
}

static DWORD get(const char *function, void *row)
{
    DWORD code;
    struct address **link = on_interface(function, row, &code);
    if (!link) return code;
    memcpy(row, &(*link)->row, sizeof (*link)->row);
    return NO_ERROR;
}

EXPORT void WINAPI InitializeUnicastIpAddressEntry(PMIB_UNICASTIPADDRESS_ROW row)
{
    memset(row, 0, sizeof *row);
    row->PrefixOrigin = IpPrefixOriginUnchanged;
    row->SuffixOrigin = IpSuffixOriginUnchanged;
    row->ValidLifetime = row->PreferredLifetime = 0xFFFFFFFF;
    row->OnLinkPrefixLength = 255;
}

static DWORD logged(const char *function, const MIB_UNICASTIPADDRESS_ROW *row, row_work work)
{
    struct text facts = { 0 };
    if (is_readable(row, sizeof *row)) {
        text_address(&facts, "address", &row->Address);
        text_append(&facts, ",\"luid\":\"%llu\"", (unsigned long long)row->InterfaceLuid.Value);
    }
    return run(function, (void *)row, sizeof *row, work, &facts);
}

EXPORT NETIO_STATUS WINAPI CreateUnicastIpAddressEntry(const MIB_UNICASTIPADDRESS_ROW *row)
{
    return logged("CreateUnicastIpAddressEntry", row, create);
}

EXPORT NETIO_STATUS WINAPI DeleteUnicastIpAddressEntry(const MIB_UNICASTIPADDRESS_ROW *row)
{
    return logged("DeleteUnicastIpAddressEntry", row, delete);
}

EXPORT NETIO_STATUS WINAPI GetUnicastIpAddressEntry(PMIB_UNICASTIPADDRESS_ROW row)
{
    return logged("GetUnicastIpAddressEntry", row, get);
}

/* Tables that were handed out; kept after they were freed, so that a second time is seen. */
struct table {
    MIB_UNICASTIPADDRESS_TABLE *data;
    bool freed;
    struct table *next;
};
static struct table *tables;

EXPORT NETIO_STATUS WINAPI GetUnicastIpAddressTable(ADDRESS_FAMILY family, PMIB_UNICASTIPADDRESS_TABLE *out)
{
    fake_start();
    if (!check_out("GetUnicastIpAddressTable", "Table", out, sizeof *out)) return ERROR_INVALID_PARAMETER;
    if (family != AF_UNSPEC && family_number(family) < 0) return ERROR_INVALID_PARAMETER;
    fake_lock();
    ULONG count = 0;
    for (const struct address *one = addresses; one; one = one->next) count++;
    struct table *table = calloc(1, sizeof *table);
    MIB_UNICASTIPADDRESS_TABLE *data = calloc(1, sizeof *data + count * sizeof *data->Table);
    if (!table || !data) abort();
    for (const struct address *one = addresses; one; one = one->next)
        if (family == AF_UNSPEC || one->row.Address.si_family == family) data->Table[data->NumEntries++] = one->row;
    *table = (struct table){ .data = data, .next = tables };
    tables = table;
    tables_given++;
    fake_unlock();
    *out = data;
    return NO_ERROR;
}

EXPORT void WINAPI FreeMibTable(void *data)
{
    fake_start();
    fake_lock();
    struct table *table = tables;
    while (table && table->data != data) table = table->next;
    if (!table || table->freed) violation("FreeMibTable: %s", table ? "freed twice" : "no table");
    else {
        table->freed = true;
        tables_freed++;
    }
    fake_unlock();
}

void write_table_counters(struct text *out)
{
    text_member_integer(out, "tablesKept", tables_given - tables_freed);
}

/* Tables stay known, as freed. */
void forget_tables(void)
{
    for (struct table *one = tables; one; one = one->next) one->freed = true;
    tables_given = tables_freed = 0;
}
