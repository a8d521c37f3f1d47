/* The list of adapters with their addresses and gateways, and the way to somewhere; see iphlpapi_fake.h. */
#include <stddef.h>
#include <string.h>
#include "iphlpapi_fake.h"

/* The layout that the daemon reads, as this compiler has it from Windows' headers. */
_Static_assert(sizeof(IP_ADAPTER_ADDRESSES) == 448, "size");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, IfIndex) == 4, "IfIndex");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, Next) == 8, "Next");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, FirstUnicastAddress) == 24, "FirstUnicastAddress");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, FriendlyName) == 72, "FriendlyName");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, Mtu) == 96, "Mtu");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, IfType) == 100, "IfType");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, OperStatus) == 104, "OperStatus");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, Ipv6IfIndex) == 108, "Ipv6IfIndex");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, FirstGatewayAddress) == 208, "FirstGatewayAddress");
_Static_assert(offsetof(IP_ADAPTER_ADDRESSES, Luid) == 224, "Luid");
_Static_assert(offsetof(IP_ADAPTER_UNICAST_ADDRESS, Next) == 8, "Next");
_Static_assert(offsetof(IP_ADAPTER_UNICAST_ADDRESS, Address) == 16, "Address");

/* Room is taken from the caller's buffer; beyond its end it is only counted. */
struct room {
    BYTE *base;
    ULONG size, used;
};

static void *take(struct room *room, size_t size)
{
    ULONG at = (room->used + 7) & ~7u;
    room->used = at + (ULONG)size;
    if (room->used > room->size) return NULL;
    return memset(room->base + at, 0, size);
}

static bool is_wanted(ULONG family, ADDRESS_FAMILY has)
{
    return family == AF_UNSPEC || family == has;
}

static bool put_address(struct room *room, SOCKET_ADDRESS *out, const SOCKADDR_INET *address)
{
    size_t size = address->si_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    void *copy = take(room, size);
    if (!copy) return false;
    memcpy(copy, address, size);
    *out = (SOCKET_ADDRESS){ .lpSockaddr = copy, .iSockaddrLength = (INT)size };
    return true;
}

static void put_addresses(struct room *room, ULONG family, IP_ADAPTER_ADDRESSES *adapter, const struct nic *nic)
{
    IP_ADAPTER_UNICAST_ADDRESS **tail = adapter ? &adapter->FirstUnicastAddress : NULL;
    for (const struct address *one = addresses; one; one = one->next) {
        if (one->row.InterfaceLuid.Value != nic->luid || !is_wanted(family, one->row.Address.si_family)) continue;
        IP_ADAPTER_UNICAST_ADDRESS *entry = take(room, sizeof *entry);
        SOCKET_ADDRESS address;
        if (!put_address(room, &address, &one->row.Address) || !entry || !tail) continue;
        entry->Length = sizeof *entry;
        entry->Address = address;
        entry->DadState = one->row.DadState;
        entry->OnLinkPrefixLength = one->row.OnLinkPrefixLength;
        *tail = entry;
        tail = &entry->Next;
    }
}

static void put_gateways(struct room *room, ULONG family, IP_ADAPTER_ADDRESSES *adapter, const struct nic *nic)
{
    IP_ADAPTER_GATEWAY_ADDRESS **tail = adapter ? &adapter->FirstGatewayAddress : NULL;
    for (const struct route *one = routes; one; one = one->next) {
        if (one->row.InterfaceLuid.Value != nic->luid || one->row.DestinationPrefix.PrefixLength) continue;
        if (!is_wanted(family, one->row.NextHop.si_family) || is_zero_address(&one->row.NextHop)) continue;
        IP_ADAPTER_GATEWAY_ADDRESS *entry = take(room, sizeof *entry);
        SOCKET_ADDRESS address;
        if (!put_address(room, &address, &one->row.NextHop) || !entry || !tail) continue;
        entry->Length = sizeof *entry;
        entry->Address = address;
        *tail = entry;
        tail = &entry->Next;
    }
}

static PWSTR put_text(struct room *room, const char *utf8)
{
    int units = MultiByteToWideChar(CP_UTF8, 0, utf8, -1, NULL, 0);
    PWSTR text = take(room, (size_t)units * sizeof *text);
    if (text) MultiByteToWideChar(CP_UTF8, 0, utf8, -1, text, units);
    return text;
}

static IP_ADAPTER_ADDRESSES *put_adapter(struct room *room, ULONG family, ULONG flags, const struct nic *nic)
{
    IP_ADAPTER_ADDRESSES *adapter = take(room, sizeof *adapter);
    PWSTR name = put_text(room, nic->alias);
    if (adapter) {
        adapter->Length = sizeof *adapter;
        adapter->IfIndex = nic->has[0] ? nic->index : 0;
        adapter->Ipv6IfIndex = nic->has[1] ? nic->index : 0;
        adapter->FriendlyName = name;
        adapter->Mtu = nic->rows[0].NlMtu;
        adapter->IfType = (IFTYPE)(nic->luid >> 48);
        adapter->OperStatus = nic->up ? IfOperStatusUp : IfOperStatusDown;
        adapter->Luid.Value = nic->luid;
    }
    if (!(flags & GAA_FLAG_SKIP_UNICAST)) put_addresses(room, family, adapter, nic);
    if (flags & GAA_FLAG_INCLUDE_GATEWAYS) put_gateways(room, family, adapter, nic);
    return adapter;
}

static ULONG list(ULONG family, ULONG flags, struct room *room)
{
    IP_ADAPTER_ADDRESSES *before = NULL;
    if (!interfaces) return ERROR_NO_DATA;
    for (const struct nic *nic = interfaces; nic; nic = nic->next) {
        IP_ADAPTER_ADDRESSES *adapter = put_adapter(room, family, flags, nic);
        if (before) before->Next = adapter;
        before = adapter;
    }
    return room->used > room->size ? ERROR_BUFFER_OVERFLOW : NO_ERROR;
}

EXPORT ULONG WINAPI GetAdaptersAddresses(ULONG family, ULONG flags, PVOID reserved, PIP_ADAPTER_ADDRESSES out,
                                         PULONG size)
{
    struct call call;
    struct text facts = { 0 };
    stack_start();
    call_begin(&call, "GetAdaptersAddresses", &facts);
    ULONG code = call.skips ? (ULONG)call.code : ERROR_INVALID_PARAMETER;
    bool good = !reserved && is_writable(size, sizeof *size) && (family == AF_UNSPEC || family_number((ADDRESS_FAMILY)family) >= 0);
    if (good && out && !is_writable(out, *size)) {
        violation("GetAdaptersAddresses: AdapterAddresses has not the size that is said");
        good = false;
    }
    if (!call.skips && good) {
        struct room room = { .base = (BYTE *)out, .size = out ? *size : 0 };
        fake_lock();
        code = list(family, flags, &room);
        fake_unlock();
        if (code == ERROR_BUFFER_OVERFLOW) *size = room.used;
    }
    call_after(&call);
    call_end(&call, "%lu", code);
    return code;
}

static bool covers(const SOCKADDR_INET *prefix, int length, const SOCKADDR_INET *address)
{
    const BYTE *a = address_bytes(prefix), *b = address_bytes(address);
    if (prefix->si_family != address->si_family) return false;
    for (int bit = 0; bit < length; bit++)
        if ((a[bit / 8] ^ b[bit / 8]) & 0x80 >> bit % 8) return false;
    return true;
}

/* Of loopback, which is no interface of this fake and always the first of Windows; 0 for all else. */
static unsigned loopback_index(const SOCKADDR_INET *address)
{
    static const BYTE one[16] = { [15] = 1 };
    const BYTE *bytes = address_bytes(address);
    return (address->si_family == AF_INET ? bytes[0] == 127 : !memcmp(bytes, one, sizeof one)) ? 1 : 0;
}

/* Index of the longest prefix that has it, among routes and what is on the link of an address; 0 for none. */
static unsigned way_to(const SOCKADDR_INET *address)
{
    ULONG64 best = 0;
    int longest = -1;
    for (const struct route *one = routes; one; one = one->next) {
        int length = one->row.DestinationPrefix.PrefixLength;
        if (length <= longest || !covers(&one->row.DestinationPrefix.Prefix, length, address)) continue;
        longest = length;
        best = one->row.InterfaceLuid.Value;
    }
    for (const struct address *one = addresses; one; one = one->next) {
        int length = one->row.OnLinkPrefixLength;
        if (length <= longest || !covers(&one->row.Address, length, address)) continue;
        longest = length;
        best = one->row.InterfaceLuid.Value;
    }
    return longest < 0 ? loopback_index(address) : interface_of(best, 0)->index;
}

EXPORT DWORD WINAPI GetBestInterfaceEx(struct sockaddr *to, PDWORD index)
{
    SOCKADDR_INET address = { 0 };
    stack_start();
    if (!is_readable(to, sizeof(struct sockaddr_in)) || !is_writable(index, sizeof *index)) return ERROR_INVALID_PARAMETER;
    if (to->sa_family == AF_INET6 && !is_readable(to, sizeof(struct sockaddr_in6))) return ERROR_INVALID_PARAMETER;
    if (family_number(to->sa_family) < 0) return ERROR_INVALID_PARAMETER;
    memcpy(&address, to, to->sa_family == AF_INET ? sizeof address.Ipv4 : sizeof address.Ipv6);
    fake_lock();
    unsigned way = way_to(&address);
    if (way) *index = way;
    fake_unlock();
    return way ? NO_ERROR : ERROR_NETWORK_UNREACHABLE;
}
