/* IPv4 addresses, prefixes, and HNS's own address management. */
#include <stdio.h>
#include <string.h>
#include "hcn.h"

uint32_t assigned_ip;

bool parse_ipv4(const char *text, uint32_t *address)
{
    unsigned part[4];
    int end = 0;
    char canonical[16];
    if (sscanf(text, "%3u.%3u.%3u.%3u%n", &part[0], &part[1], &part[2], &part[3], &end) != 4 || text[end])
        return false;
    for (int i = 0; i < 4; i++) if (part[i] > 255) return false;
    *address = part[0] << 24 | part[1] << 16 | part[2] << 8 | part[3];
    format_ipv4(canonical, *address);
    return !strcmp(canonical, text);
}

bool parse_prefix(const char *text, uint32_t *address, int *length)
{
    char copy[20];
    int end = 0;
    snprintf(copy, sizeof copy, "%s", text);
    char *slash = strchr(copy, '/');
    if (!slash || strlen(text) >= sizeof copy) return false;
    *slash = 0;
    return parse_ipv4(copy, address) && sscanf(slash + 1, "%2d%n", length, &end) == 1 && !slash[1 + end] &&
           *length >= 0 && *length <= 32;
}

void format_ipv4(char out[16], uint32_t a)
{
    snprintf(out, 16, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

uint32_t prefix_mask(int length)
{
    return length ? 0xFFFFFFFFu << (32 - length) : 0;
}

static uint32_t gateway_of(const struct json *subnet)
{
    const struct json *routes = json_get(subnet, "Routes");
    uint32_t gateway = 0;
    for (const struct json *route = routes ? routes->first : NULL; route; route = route->next)
        if (!strcmp(json_text(route, "DestinationPrefix", ""), "0.0.0.0/0"))
            parse_ipv4(json_text(route, "NextHop", ""), &gateway);
    return gateway;
}

static bool nth_subnet(const struct json *document, int n, struct subnet *subnet)
{
    const struct json *ipams = json_get(document, "Ipams");
    for (const struct json *ipam = ipams ? ipams->first : NULL; ipam; ipam = ipam->next) {
        const struct json *subnets = json_get(ipam, "Subnets");
        for (const struct json *one = subnets ? subnets->first : NULL; one; one = one->next) {
            if (n-- > 0) continue;
            memset(subnet, 0, sizeof *subnet);
            parse_prefix(json_text(one, "IpAddressPrefix", ""), &subnet->network, &subnet->length);
            subnet->gateway = gateway_of(one);
            return true;
        }
    }
    return false;
}

bool subnet_at(const struct object *network, int n, struct subnet *subnet)
{
    return nth_subnet(network->document, n, subnet);
}

static bool check_subnet(const struct json *subnet, struct refusal *no)
{
    const char *text = json_text(subnet, "IpAddressPrefix", "");
    uint32_t address, gateway;
    int length;
    if (!parse_prefix(text, &address, &length) || length > 30)
        return refuse(no, HCN_E_INVALID_IP_SUBNET, "IpAddressPrefix %s is no IPv4 prefix with room for hosts", text);
    if (address & ~prefix_mask(length))
        return refuse(no, HCN_E_INVALID_IP_SUBNET, "IpAddressPrefix %s has host bits", text);
    const struct json *routes = json_get(subnet, "Routes");
    for (const struct json *route = routes ? routes->first : NULL; route; route = route->next) {
        const char *hop = json_text(route, "NextHop", ""), *to = json_text(route, "DestinationPrefix", "");
        uint32_t destination;
        int bits;
        if (!parse_prefix(to, &destination, &bits))
            return refuse(no, HCN_E_INVALID_IP_SUBNET, "DestinationPrefix %s is no prefix", to);
        if (!parse_ipv4(hop, &gateway) || (gateway & prefix_mask(length)) != address)
            return refuse(no, HCN_E_INVALID_SUBNET, "NextHop %s is not in %s", hop, text);
    }
    return true;
}

bool check_subnets(const struct json *document, struct refusal *no)
{
    const struct json *ipams = json_get(document, "Ipams");
    for (const struct json *ipam = ipams ? ipams->first : NULL; ipam; ipam = ipam->next) {
        const struct json *subnets = json_get(ipam, "Subnets");
        for (const struct json *one = subnets ? subnets->first : NULL; one; one = one->next)
            if (!check_subnet(one, no)) return false;
    }
    return true;
}

/* Network and broadcast address, the gateway, and without a gateway a block of low addresses. */
static bool is_reserved(const struct subnet *subnet, uint32_t address)
{
    uint32_t host = address & ~prefix_mask(subnet->length);
    if (host == 0 || address == (subnet->network | ~prefix_mask(subnet->length))) return true;
    return subnet->gateway ? address == subnet->gateway : host < 4;
}

static bool is_taken(const struct object *network, const struct object *self, uint32_t address)
{
    for (const struct object *one = objects; one; one = one->next)
        if (one != self && one->kind == KIND_ENDPOINT && one->address == address &&
            IsEqualGUID(&one->network, &network->id)) return true;
    return false;
}

static bool lowest_free(const struct object *network, struct object *endpoint)
{
    struct subnet subnet;
    for (int n = 0; subnet_at(network, n, &subnet); n++) {
        uint32_t last = subnet.network | ~prefix_mask(subnet.length);
        for (uint32_t address = subnet.network + 1; address < last; address++) {
            if (is_reserved(&subnet, address) || is_taken(network, endpoint, address)) continue;
            endpoint->address = address;
            endpoint->prefix_length = subnet.length;
            return true;
        }
    }
    return false;
}

static bool take(const struct object *network, struct object *endpoint, const struct json *wanted,
                 struct refusal *no)
{
    const char *text = json_text(wanted, "IpAddress", "");
    struct subnet subnet = { 0 };
    uint32_t address;
    int n = 0;
    if (!parse_ipv4(text, &address)) return refuse(no, HCN_E_INVALID_IP, "%s is no IPv4 address", text);
    while (subnet_at(network, n, &subnet) && (address & prefix_mask(subnet.length)) != subnet.network) n++;
    if (!subnet_at(network, n, &subnet))
        return refuse(no, HCN_E_INVALID_IP, "%s is in no subnet of the network", text);
    if (json_integer(wanted, "PrefixLength", subnet.length) != subnet.length)
        return refuse(no, HCN_E_SUBNET_NOT_FOUND, "no subnet of that prefix length for %s", text);
    if (is_reserved(&subnet, address))
        return refuse(no, HCN_E_ADDR_INVALID_OR_RESERVED, "%s is reserved", text);
    if (is_taken(network, endpoint, address))
        return refuse(no, HCN_E_ADDR_INVALID_OR_RESERVED, "%s is in use", text);
    endpoint->address = address;
    endpoint->prefix_length = subnet.length;
    return true;
}

bool assign_address(const struct object *network, struct object *endpoint, struct refusal *no)
{
    const struct json *wanted = json_get(endpoint->document, "IpConfigurations");
    if (GetTickCount64() - network->created < (ULONGLONG)settle_ms)
        return refuse(no, HCN_E_ADDR_INVALID_OR_RESERVED, "the network's address management is not ready");
    if (assigned_ip) {
        struct subnet subnet;
        endpoint->address = assigned_ip;
        endpoint->prefix_length = subnet_at(network, 0, &subnet) ? subnet.length : 32;
        assigned_ip = 0;
        return true;
    }
    if (wanted && wanted->first) return take(network, endpoint, wanted->first, no);
    if (lowest_free(network, endpoint)) return true;
    return refuse(no, HCN_E_ADDR_INVALID_OR_RESERVED, "no address is left");
}
