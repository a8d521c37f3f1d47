/*
 * Answers to queries. A query with schema version 2 gets the shapes of HNS's schema; one without it the older
 * ones, with other names for the same things.
 */
#include <string.h>
#include "hcn.h"

static const char VERSION[] = "\"SchemaVersion\":{\"Major\":2,\"Minor\":0}";

bool wants_v2(const struct json *query)
{
    return json_integer(json_get(query, "SchemaVersion"), "Major", 1) >= 2;
}

/* Whether the object passes a query's filter; members that HNS does not know match nothing. */
bool matches(const struct object *object, const struct json *query)
{
    const struct json *filter = json_get(query, "Filter");
    for (const struct json *one = filter ? filter->first : NULL; one; one = one->next) {
        GUID id;
        if (!strcmp(one->key, "Flags")) continue;
        if (one->type != JSON_STRING) return false;
        if (!strcmp(one->key, "Name")) {
            if (strcmp(json_text(object->document, "Name", ""), one->text)) return false;
        } else if (!strcmp(one->key, "ID")) {
            if (!parse_guid(one->text, &id, false) || !IsEqualGUID(&id, &object->id)) return false;
        } else if (!strcmp(one->key, "VirtualNetwork")) {
            if (!parse_guid(one->text, &id, false) || !IsEqualGUID(&id, &object->network)) return false;
        } else return false;
    }
    return true;
}

static void copy(struct text *out, const struct object *object, const char *key)
{
    const struct json *value = json_get(object->document, key);
    if (!value) return;
    text_key(out, key);
    text_json(out, value);
}

static void write_network(struct text *out, const struct object *object, bool v2)
{
    struct subnet subnet;
    char ip[16];
    copy(out, object, "Name");
    /* HNS leaves the type of a NAT network out of its answers. */
    if (!v2 || strcmp(json_text(object->document, "Type", ""), "NAT")) copy(out, object, "Type");
    if (v2) {
        copy(out, object, "Policies");
        copy(out, object, "Dns");
        copy(out, object, "Ipams");
        text_append(out, ",\"Flags\":%d,%s", (int)json_integer(object->document, "Flags", 0), VERSION);
        return;
    }
    text_append(out, ",\"Policies\":[],\"Subnets\":[");
    for (int n = 0; subnet_at(object, n, &subnet); n++) {
        text_comma(out);
        format_ipv4(ip, subnet.network);
        text_append(out, "{\"AddressPrefix\":\"%s/%d\"", ip, subnet.length);
        format_ipv4(ip, subnet.gateway);
        if (subnet.gateway) text_member(out, "GatewayAddress", ip);
        text_append(out, "}");
    }
    text_append(out, "],\"DNSServerList\":\"\"");
}

static void write_endpoint(struct text *out, const struct object *object, bool v2)
{
    char id[39], ip[16];
    const struct object *namespace = namespace_of(&object->id), *network = find_object(KIND_NETWORK, &object->network);
    format_ipv4(ip, object->address);
    copy(out, object, "Name");
    text_member(out, v2 ? "HostComputeNetwork" : "VirtualNetwork", format_guid(id, &object->network, true));
    text_append(out, ",\"MacAddress\":\"00-15-5D-00-%02X-%02X\"", object->number >> 8 & 255, object->number & 255);
    if (v2) {
        if (namespace) text_member(out, "HostComputeNamespace", format_guid(id, &namespace->id, true));
        text_append(out, ",\"IpConfigurations\":[{\"IpAddress\":\"%s\",\"PrefixLength\":%d}]", ip, object->prefix_length);
        copy(out, object, "Policies");
        copy(out, object, "Dns");
        copy(out, object, "Routes");
        text_append(out, ",\"Flags\":%d,%s", (int)json_integer(object->document, "Flags", 0), VERSION);
        return;
    }
    text_member(out, "VirtualNetworkName", network ? json_text(network->document, "Name", "") : "");
    text_member(out, "IPAddress", ip);
    text_member_integer(out, "PrefixLength", object->prefix_length);
    text_append(out, ",\"GatewayAddress\":\"\",\"DNSServerList\":\"\",\"State\":%d", namespace ? 3 : 1);
}

static void write_resources(struct text *out, const struct object *object, const char *only)
{
    text_append(out, "[");
    for (const struct resource *held = object->resources; held; held = held->next) {
        if (only && strcmp(held->type, only)) continue;
        text_comma(out);
        text_append(out, "{\"Type\":\"%s\",\"Data\":{", held->type);
        text_member(out, "Id", held->id);
        text_append(out, "}}");
    }
    text_append(out, "]");
}

static void write_namespace(struct text *out, const struct object *object, bool v2)
{
    char id[39];
    const char *type = json_text(object->document, "Type", "Host");
    if (v2) {
        text_member_integer(out, "NamespaceId", object->number);
        text_member(out, "NamespaceGuid", format_guid(id, &object->id, true));
        text_member(out, "Type", type);
        text_key(out, "Resources");
        write_resources(out, object, NULL);
        text_append(out, ",%s", VERSION);
        return;
    }
    text_append(out, ",\"IsDefault\":%s", strcmp(type, "HostDefault") ? "false" : "true");
    text_member_integer(out, "CompartmentId", object->number);
    text_key(out, "ResourceList");
    write_resources(out, object, "Endpoint");
    text_append(out, ",\"Resources\":{\"AdditionalParams\":{},\"AllocationOrder\":0,\"Allocators\":[]},\"Containers\":[");
    for (const struct resource *held = object->resources; held; held = held->next) {
        if (strcmp(held->type, "Container")) continue;
        text_comma(out);
        text_quote(out, held->id);
    }
    text_append(out, "]");
}

void write_object(struct text *out, const struct object *object, bool v2)
{
    static void (*const writers[])(struct text *, const struct object *, bool) = {
        write_network, write_endpoint, write_namespace,
    };
    char id[39];
    text_append(out, "{");
    text_member(out, "ID", format_guid(id, &object->id, true));
    writers[object->kind](out, object, v2);
    text_append(out, "}");
}
