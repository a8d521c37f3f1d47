/* What others do to the host: people, services, other programs. See iphlpapi_fake.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ws2tcpip.h>
#include "iphlpapi_fake.h"

bool parse_prefix_text(const char *text, SOCKADDR_INET *address, int *length)
{
    char copy[64];
    snprintf(copy, sizeof copy, "%s", text);
    char *slash = strchr(copy, '/');
    if (slash) *slash = 0;
    memset(address, 0, sizeof *address);
    address->si_family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    if (length) *length = slash ? atoi(slash + 1) : address_bits(address->si_family);
    return inet_pton(address->si_family, copy, (void *)address_bytes(address)) == 1;
}

static struct nic *nic_of(const struct json *request)
{
    return interface_of(strtoull(json_text(request, "luid", "0"), NULL, 10), 0);
}

bool somebody_sets_address(const struct json *request)
{
    MIB_UNICASTIPADDRESS_ROW row = { 0 };
    int length;
    const struct nic *nic = nic_of(request);
    if (!nic || !parse_prefix_text(json_text(request, "address", ""), &row.Address, &length)) return false;
    row.InterfaceLuid.Value = nic->luid;
    row.OnLinkPrefixLength = (UINT8)length;
    row.ValidLifetime = row.PreferredLifetime = 0xFFFFFFFF;
    row.DadState = IpDadStatePreferred;
    return json_truth(request, "present", true) ? enter_address(&row) : remove_address(&row);
}

bool somebody_sets_route(const struct json *request)
{
    MIB_IPFORWARD_ROW2 row = { 0 };
    int length;
    const struct nic *nic = nic_of(request);
    if (!nic || !parse_prefix_text(json_text(request, "destination", ""), &row.DestinationPrefix.Prefix, &length))
        return false;
    row.InterfaceLuid.Value = nic->luid;
    row.DestinationPrefix.PrefixLength = (UINT8)length;
    row.NextHop.si_family = row.DestinationPrefix.Prefix.si_family;
    const char *hop = json_text(request, "nextHop", NULL);
    if (hop && !parse_prefix_text(hop, &row.NextHop, NULL)) return false;
    row.ValidLifetime = row.PreferredLifetime = 0xFFFFFFFF;
    row.Protocol = MIB_IPPROTO_NETMGMT;
    return json_truth(request, "present", true) ? enter_route(&row) : remove_route(&row);
}

bool somebody_sets_flags(const struct json *request)
{
    struct nic *nic = nic_of(request);
    int number = family_number((ADDRESS_FAMILY)json_integer(request, "family", AF_INET));
    if (!nic || number < 0) return false;
    MIB_IPINTERFACE_ROW *row = &nic->rows[number];
    row->ForwardingEnabled = json_truth(request, "forwarding", row->ForwardingEnabled);
    row->WeakHostSend = json_truth(request, "weakHostSend", row->WeakHostSend);
    row->WeakHostReceive = json_truth(request, "weakHostReceive", row->WeakHostReceive);
    notify(CHANGED_INTERFACE, row->Family, nic, MibParameterNotification);
    return true;
}

bool somebody_sets_mtu(const struct json *request)
{
    struct nic *nic = nic_of(request);
    int number = family_number((ADDRESS_FAMILY)json_integer(request, "family", AF_INET));
    if (!nic || number < 0) return false;
    nic->rows[number].NlMtu = (ULONG)json_integer(request, "bytes", 1500);
    notify(CHANGED_INTERFACE, nic->rows[number].Family, nic, MibParameterNotification);
    return true;
}
