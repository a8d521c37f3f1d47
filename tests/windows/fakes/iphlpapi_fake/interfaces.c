/* Interfaces: names and the rows of the IP stack; see iphlpapi_fake.h. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "iphlpapi_fake.h"

/* The layouts that the daemon writes, as this compiler has them from Windows' headers. */
_Static_assert(sizeof(MIB_IPINTERFACE_ROW) == 168, "size");
_Static_assert(offsetof(MIB_IPINTERFACE_ROW, InterfaceLuid) == 8, "InterfaceLuid");
_Static_assert(offsetof(MIB_IPINTERFACE_ROW, ForwardingEnabled) == 41, "ForwardingEnabled");
_Static_assert(offsetof(MIB_IPINTERFACE_ROW, WeakHostSend) == 42, "WeakHostSend");
_Static_assert(offsetof(MIB_IPINTERFACE_ROW, SitePrefixLength) == 144, "SitePrefixLength");
_Static_assert(offsetof(MIB_IPINTERFACE_ROW, NlMtu) == 152, "NlMtu");

#define DEFAULT_MTU 65535
/* What Windows has in a fresh IPv4 row, and refuses to take back. */
#define BAD_SITE_PREFIX 64

struct nic *interfaces;
int bind_ms;
static unsigned next_index = 10;

struct nic *interface_of(ULONG64 luid, unsigned index)
{
    struct nic *one = interfaces;
    while (one && (luid ? one->luid != luid : one->index != index)) one = one->next;
    return one;
}

struct nic *stack_interface(ULONG64 luid, unsigned index, ADDRESS_FAMILY family)
{
    struct nic *found = interface_of(luid, index);
    if (!found || !found->has[family_number(family)] || GetTickCount64() < found->bound) return NULL;
    return found;
}

static void start_row(struct nic *nic, int number)
{
    MIB_IPINTERFACE_ROW *row = &nic->rows[number];
    memset(row, 0, sizeof *row);
    row->Family = number == 0 ? AF_INET : AF_INET6;
    row->InterfaceLuid.Value = nic->luid;
    row->InterfaceIndex = nic->index;
    row->NlMtu = DEFAULT_MTU;
    row->DadTransmits = 3;
    row->Metric = 5;
    row->UseAutomaticMetric = TRUE;
    row->SitePrefixLength = BAD_SITE_PREFIX;
    row->RouterDiscoveryBehavior = 2;
    row->Connected = TRUE;
}

static void tell_of(const struct nic *nic, MIB_NOTIFICATION_TYPE type)
{
    notify(CHANGED_INTERFACE, AF_INET, nic, type);
    notify(CHANGED_INTERFACE, AF_INET6, nic, type);
}

static struct nic *new_interface(ULONG64 luid)
{
    struct nic *nic = calloc(1, sizeof *nic);
    if (!nic) abort();
    *nic = (struct nic){ .luid = luid, .index = next_index++, .up = true, .has = { true, true },
                                     .alias = _strdup(""), .next = interfaces };
    for (int number = 0; number < FAMILIES; number++) start_row(nic, number);
    nic->bound = GetTickCount64() + (ULONGLONG)bind_ms;
    interfaces = nic;
    tell_of(nic, MibAddInstance);
    return nic;
}

static void remove_interface(struct nic *nic)
{
    struct nic **link = &interfaces;
    while (*link != nic) link = &(*link)->next;
    forget_addresses(nic);
    forget_routes(nic);
    tell_of(nic, MibDeleteInstance);
    *link = nic->next;
    free(nic->alias);
    free(nic);
}

static void set_families(struct nic *nic, const struct json *families)
{
    nic->has[0] = nic->has[1] = false;
    for (const struct json *one = families->first; one; one = one->next) {
        int number = one->integral ? family_number((ADDRESS_FAMILY)one->number) : -1;
        if (number >= 0) nic->has[number] = true;
    }
}

/* What the host gives an interface by itself: it cannot have an address that another one has. */
static bool take_address(struct nic *nic, const struct json *request)
{
    MIB_UNICASTIPADDRESS_ROW row = { .InterfaceLuid.Value = nic->luid, .ValidLifetime = 0xFFFFFFFF,
                                     .PreferredLifetime = 0xFFFFFFFF, .DadState = IpDadStatePreferred };
    const char *text = json_text(request, "address", "");
    int length;
    if (!parse_prefix_text(text, &row.Address, &length)) return false;
    row.OnLinkPrefixLength = (UINT8)length;
    if (!enter_address(&row)) violation("%s: its address %s is on another interface", nic->alias, text);
    return true;
}

static bool take_gateway(struct nic *nic, const struct json *request)
{
    MIB_IPFORWARD_ROW2 row = { .InterfaceLuid.Value = nic->luid, .Protocol = MIB_IPPROTO_NETMGMT };
    if (!parse_prefix_text(json_text(request, "gateway", ""), &row.NextHop, NULL)) return false;
    row.DestinationPrefix.Prefix.si_family = row.NextHop.si_family;
    return enter_route(&row);
}

bool change_interface(const struct json *request)
{
    ULONG64 luid = strtoull(json_text(request, "luid", "0"), NULL, 10);
    struct nic *nic = interface_of(luid, 0);
    if (!luid) return false;
    if (!json_truth(request, "present", true)) {
        if (nic) remove_interface(nic);
        return true;
    }
    if (!nic) nic = new_interface(luid);
    if (json_get(request, "alias")) {
        free(nic->alias);
        nic->alias = _strdup(json_text(request, "alias", ""));
    }
    if (json_get(request, "families")) set_families(nic, json_get(request, "families"));
    if (json_get(request, "bindMs"))
        nic->bound = GetTickCount64() + (ULONGLONG)json_integer(request, "bindMs", 0);
    nic->up = json_truth(request, "up", nic->up);
    nic->lasts = json_truth(request, "lasts", nic->lasts);
    return (!json_get(request, "address") || take_address(nic, request)) &&
           (!json_get(request, "gateway") || take_gateway(nic, request));
}

void forget_interfaces(void)
{
    while (interfaces) remove_interface(interfaces);
    next_index = 10;
    bind_ms = 0;
}

void write_interface_counters(struct text *out)
{
    int own = 0, lasting = 0;
    for (const struct nic *one = interfaces; one; one = one->next) *(one->lasts ? &lasting : &own) += 1;
    text_member_integer(out, "interfaces", own);
    text_member_integer(out, "lastingInterfaces", lasting);
}

static void write_row(struct text *out, const struct nic *nic, int number)
{
    const MIB_IPINTERFACE_ROW *row = &nic->rows[number];
    text_key(out, number == 0 ? "v4" : "v6");
    text_append(out, "{\"mtu\":%lu,\"forwarding\":%d,\"weakHostSend\":%d,\"weakHostReceive\":%d", row->NlMtu,
                row->ForwardingEnabled, row->WeakHostSend, row->WeakHostReceive);
    text_append(out, ",\"dadTransmits\":%lu,\"routerDiscovery\":%d,\"metric\":%lu,\"automaticMetric\":%d}",
                row->DadTransmits, (int)row->RouterDiscoveryBehavior, row->Metric, row->UseAutomaticMetric);
}

void write_interfaces(struct text *out)
{
    text_key(out, "interfaces");
    text_append(out, "[");
    for (const struct nic *one = interfaces; one; one = one->next) {
        text_comma(out);
        text_append(out, "{\"luid\":\"%llu\",\"index\":%u,\"up\":%s", (unsigned long long)one->luid, one->index,
                    one->up ? "true" : "false");
        text_member(out, "alias", one->alias);
        for (int number = 0; number < FAMILIES; number++) if (one->has[number]) write_row(out, one, number);
        text_append(out, "}");
    }
    text_append(out, "]");
}

EXPORT void WINAPI InitializeIpInterfaceEntry(PMIB_IPINTERFACE_ROW row)
{
    memset(row, 0, sizeof *row);
}

static DWORD get(const char *function, void *given)
{
    (void)function;
    MIB_IPINTERFACE_ROW *row = given;
    int number = family_number(row->Family);
    if (number < 0) return ERROR_INVALID_PARAMETER;
    struct nic *found = stack_interface(row->InterfaceLuid.Value, row->InterfaceIndex, row->Family);
    if (!found) return interface_of(row->InterfaceLuid.Value, row->InterfaceIndex) ? ERROR_NOT_FOUND
                                                                                   : ERROR_FILE_NOT_FOUND;
    *row = found->rows[number];
    row->Connected = found->up;
    return NO_ERROR;
}

static bool has_bad_flag(const char *function, const MIB_IPINTERFACE_ROW *row)
{
    const BYTE *flags = (const BYTE *)row + offsetof(MIB_IPINTERFACE_ROW, AdvertisingEnabled);
    for (int i = 0; i < 9; i++) {
        if (flags[i] <= 1) continue;
        violation("%s: the flag at %d is %d", function, 40 + i, flags[i]);
        return true;
    }
    return false;
}

static DWORD set(const char *function, void *given)
{
    MIB_IPINTERFACE_ROW *row = given;
    int number = family_number(row->Family);
    if (number < 0) return ERROR_INVALID_PARAMETER;
    struct nic *found = stack_interface(row->InterfaceLuid.Value, row->InterfaceIndex, row->Family);
    if (!found) return interface_of(row->InterfaceLuid.Value, row->InterfaceIndex) ? ERROR_NOT_FOUND
                                                                                   : ERROR_FILE_NOT_FOUND;
    if (row->SitePrefixLength > (ULONG)(number == 0 ? 32 : 128)) return ERROR_INVALID_PARAMETER;
    if (row->NlMtu < (number == 0 ? 576u : 1280u) || has_bad_flag(function, row)) return ERROR_INVALID_PARAMETER;
    found->rows[number] = *row;
    found->rows[number].InterfaceLuid.Value = found->luid;
    found->rows[number].InterfaceIndex = found->index;
    notify(CHANGED_INTERFACE, row->Family, found, MibParameterNotification);
    return NO_ERROR;
}

EXPORT NETIO_STATUS WINAPI GetIpInterfaceEntry(PMIB_IPINTERFACE_ROW row)
{
    struct text facts = { 0 };
    return run("GetIpInterfaceEntry", row, sizeof *row, get, &facts);
}

EXPORT NETIO_STATUS WINAPI SetIpInterfaceEntry(PMIB_IPINTERFACE_ROW row)
{
    struct text facts = { 0 };
    return run("SetIpInterfaceEntry", row, sizeof *row, set, &facts);
}

EXPORT NETIO_STATUS WINAPI ConvertInterfaceLuidToIndex(const NET_LUID *luid, PNET_IFINDEX index)
{
    fake_start();
    if (!is_readable(luid, sizeof *luid) || !is_writable(index, sizeof *index)) return ERROR_INVALID_PARAMETER;
    fake_lock();
    const struct nic *found = interface_of(luid->Value, 0);
    *index = found ? found->index : 0;
    fake_unlock();
    return found ? NO_ERROR : ERROR_FILE_NOT_FOUND;
}

EXPORT NETIO_STATUS WINAPI ConvertInterfaceLuidToAlias(const NET_LUID *luid, PWSTR alias, SIZE_T length)
{
    fake_start();
    if (!is_readable(luid, sizeof *luid) || !is_writable(alias, length * sizeof *alias))
        return ERROR_INVALID_PARAMETER;
    fake_lock();
    const struct nic *found = interface_of(luid->Value, 0);
    int size = found ? MultiByteToWideChar(CP_UTF8, 0, found->alias, -1, alias, (int)length) : 0;
    fake_unlock();
    return !found ? ERROR_FILE_NOT_FOUND : size > 0 ? NO_ERROR : ERROR_NOT_ENOUGH_MEMORY;
}

/* An interface's GUID is its LUID, spread out. */
EXPORT NETIO_STATUS WINAPI ConvertInterfaceLuidToGuid(const NET_LUID *luid, GUID *guid)
{
    fake_start();
    if (!is_readable(luid, sizeof *luid) || !is_writable(guid, sizeof *guid)) return ERROR_INVALID_PARAMETER;
    fake_lock();
    const struct nic *found = interface_of(luid->Value, 0);
    memset(guid, 0, sizeof *guid);
    if (found) memcpy(guid->Data4, &found->luid, sizeof found->luid);
    fake_unlock();
    return found ? NO_ERROR : ERROR_FILE_NOT_FOUND;
}

EXPORT NETIO_STATUS WINAPI ConvertInterfaceAliasToLuid(const WCHAR *alias, PNET_LUID luid)
{
    fake_start();
    char *name = read_wide("ConvertInterfaceAliasToLuid", "InterfaceAlias", alias);
    if (!name || !is_writable(luid, sizeof *luid)) {
        free(name);
        return ERROR_INVALID_PARAMETER;
    }
    fake_lock();
    const struct nic *found = interfaces;
    while (found && strcmp(found->alias, name)) found = found->next;
    luid->Value = found ? found->luid : 0;
    fake_unlock();
    free(name);
    return found ? NO_ERROR : ERROR_INVALID_PARAMETER;
}
