/* Unicast addresses; one of a kind in the compartment. See iphlpapi_fake.h. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "iphlpapi_fake.h"

_Static_assert(sizeof(MIB_UNICASTIPADDRESS_ROW) == 80, "size");
_Static_assert(offsetof(MIB_UNICASTIPADDRESS_ROW, InterfaceLuid) == 32, "InterfaceLuid");
_Static_assert(offsetof(MIB_UNICASTIPADDRESS_ROW, OnLinkPrefixLength) == 60, "OnLinkPrefixLength");
_Static_assert(offsetof(MIB_UNICASTIPADDRESS_ROW, DadState) == 64, "DadState");

struct address *addresses;

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
    const struct nic *on = interface_of(address->row.InterfaceLuid.Value, 0);
    if (on) notify(CHANGED_ADDRESS, address->row.Address.si_family, on, MibDeleteInstance);
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

bool enter_address(const MIB_UNICASTIPADDRESS_ROW *row)
{
    if (*find(&row->Address)) return false;
    struct address *address = calloc(1, sizeof *address);
    const struct nic *on = interface_of(row->InterfaceLuid.Value, 0);
    if (!address) abort();
    *address = (struct address){ .row = *row, .next = addresses };
    address->row.InterfaceIndex = on->index;
    addresses = address;
    notify(CHANGED_ADDRESS, row->Address.si_family, on, MibAddInstance);
    return true;
}

bool remove_address(const MIB_UNICASTIPADDRESS_ROW *row)
{
    struct address **link = find(&row->Address);
    if (!*link || (*link)->row.InterfaceLuid.Value != row->InterfaceLuid.Value) return false;
    drop(link);
    return true;
}

static DWORD create(const char *function, void *given)
{
    /* The caller's row stays as it is. */
    MIB_UNICASTIPADDRESS_ROW copy = *(MIB_UNICASTIPADDRESS_ROW *)given, *row = &copy;
    if (!is_address(function, &row->Address) || !is_unicast(&row->Address)) return ERROR_INVALID_PARAMETER;
    int bits = address_bits(row->Address.si_family);
    if (row->OnLinkPrefixLength > bits && row->OnLinkPrefixLength != 255) return ERROR_INVALID_PARAMETER;
    if (!row->ValidLifetime || row->PreferredLifetime > row->ValidLifetime) return ERROR_INVALID_PARAMETER;
    if ((unsigned)row->DadState > IpDadStatePreferred || row->SkipAsSource > 1) return ERROR_INVALID_PARAMETER;
    const struct nic *on = stack_interface(row->InterfaceLuid.Value, row->InterfaceIndex, row->Address.si_family);
    if (!on) return ERROR_NOT_FOUND;
    row->InterfaceLuid.Value = on->luid;
    if (row->OnLinkPrefixLength == 255) row->OnLinkPrefixLength = (BYTE)bits;
    return enter_address(row) ? NO_ERROR : ERROR_OBJECT_ALREADY_EXISTS;
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

EXPORT NETIO_STATUS WINAPI GetUnicastIpAddressTable(ADDRESS_FAMILY family, PMIB_UNICASTIPADDRESS_TABLE *out)
{
    stack_start();
    if (!check_out("GetUnicastIpAddressTable", "Table", out, sizeof *out)) return ERROR_INVALID_PARAMETER;
    if (family != AF_UNSPEC && family_number(family) < 0) return ERROR_INVALID_PARAMETER;
    fake_lock();
    size_t count = 0;
    for (const struct address *one = addresses; one; one = one->next) count++;
    MIB_UNICASTIPADDRESS_TABLE *data = new_table(sizeof *data + count * sizeof *data->Table);
    for (const struct address *one = addresses; one; one = one->next)
        if (family == AF_UNSPEC || one->row.Address.si_family == family) data->Table[data->NumEntries++] = one->row;
    fake_unlock();
    *out = data;
    return NO_ERROR;
}
