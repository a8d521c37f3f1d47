/* The documents that HNS takes, member by member, with types; exact names only. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hcn.h"

enum type { TEXT, U8, U16, U32, FLAG, OBJECT, TEXTS, OBJECTS };

struct member {
    const char *name;
    enum type type;
    bool required;
    const struct member *inner;   /* of OBJECT and OBJECTS; NULL = anything */
};

#define END { 0 }

static const struct member SCHEMA_VERSION[] = { { "Major", U32, true, 0 }, { "Minor", U32, true, 0 }, END };
static const struct member ROUTE[] = {
    { "NextHop", TEXT, true, 0 }, { "DestinationPrefix", TEXT, true, 0 }, { "Metric", U16, false, 0 }, END,
};
static const struct member POLICY[] = { { "Type", TEXT, true, 0 }, { "Settings", OBJECT, true, 0 }, END };
static const struct member SUBNET[] = {
    { "IpAddressPrefix", TEXT, true, 0 }, { "Routes", OBJECTS, false, ROUTE }, { "Policies", OBJECTS, false, POLICY },
    { "Flags", U32, false, 0 }, END,
};
static const struct member IPAM[] = { { "Type", TEXT, true, 0 }, { "Subnets", OBJECTS, true, SUBNET }, END };
static const struct member DNS[] = {
    { "Domain", TEXT, false, 0 }, { "Search", TEXTS, false, 0 }, { "ServerList", TEXTS, false, 0 },
    { "Options", TEXTS, false, 0 }, END,
};
static const struct member NETWORK[] = {
    { "Name", TEXT, true, 0 }, { "Type", TEXT, true, 0 }, { "Policies", OBJECTS, false, POLICY },
    { "MacPool", OBJECT, false, 0 }, { "Dns", OBJECT, false, DNS }, { "Ipams", OBJECTS, true, IPAM },
    { "Flags", U32, false, 0 }, { "SchemaVersion", OBJECT, true, SCHEMA_VERSION }, END,
};
static const struct member IP_CONFIGURATION[] = {
    { "IpAddress", TEXT, true, 0 }, { "PrefixLength", U8, true, 0 }, END,
};
static const struct member ENDPOINT[] = {
    { "Name", TEXT, true, 0 }, { "HostComputeNetwork", TEXT, true, 0 }, { "Policies", OBJECTS, false, POLICY },
    { "IpConfigurations", OBJECTS, false, IP_CONFIGURATION }, { "Dns", OBJECT, false, DNS },
    { "Routes", OBJECTS, false, ROUTE }, { "MacAddress", TEXT, false, 0 }, { "Flags", U32, false, 0 },
    { "SchemaVersion", OBJECT, true, SCHEMA_VERSION }, END,
};
static const struct member NAMESPACE[] = {
    { "Type", TEXT, true, 0 }, { "NamespaceId", U32, false, 0 }, { "SchemaVersion", OBJECT, true, SCHEMA_VERSION },
    END,
};
static const struct member MODIFY_SETTINGS[] = { { "EndpointId", TEXT, true, 0 }, END };
static const struct member MODIFY[] = {
    { "ResourceType", TEXT, true, 0 }, { "RequestType", TEXT, true, 0 },
    { "Settings", OBJECT, true, MODIFY_SETTINGS }, END,
};
static const struct member CHANGE[] = {
    { "ResourceType", TEXT, true, 0 }, { "RequestType", TEXT, true, 0 }, { "Settings", OBJECT, true, 0 }, END,
};
static const struct member POLICIES[] = { { "Policies", OBJECTS, true, POLICY }, END };
static const struct member QUERY[] = {
    { "SchemaVersion", OBJECT, false, SCHEMA_VERSION }, { "Flags", U32, false, 0 }, { "Filter", TEXT, false, 0 }, END,
};

bool refuse(struct refusal *no, HRESULT hr, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(no->text, sizeof no->text, format, arguments);
    va_end(arguments);
    no->hr = hr;
    return false;
}

static bool check_members(const struct json *value, const struct member *members, const char *where,
                          struct refusal *no);

static bool is_type(const struct json *value, enum type type)
{
    static const int64_t max[] = { [U8] = 0xFF, [U16] = 0xFFFF, [U32] = 0xFFFFFFFF };
    switch (type) {
    case TEXT: return value->type == JSON_STRING;
    case FLAG: return value->type == JSON_BOOL;
    case OBJECT: return value->type == JSON_OBJECT;
    case U8: case U16: case U32:
        return value->type == JSON_NUMBER && value->integral && value->number >= 0 && value->number <= max[type];
    default: break;
    }
    if (value->type != JSON_ARRAY) return false;
    for (const struct json *one = value->first; one; one = one->next)
        if (one->type != (type == TEXTS ? JSON_STRING : JSON_OBJECT)) return false;
    return true;
}

static bool check_value(const struct json *value, const struct member *member, const char *where,
                        struct refusal *no)
{
    char path[128];
    snprintf(path, sizeof path, "%s.%s", where, member->name);
    if (!is_type(value, member->type)) return refuse(no, HCN_E_INVALID_JSON, "%s has the wrong type", path);
    if (!member->inner) return true;
    if (member->type == OBJECT) return check_members(value, member->inner, path, no);
    for (const struct json *one = value->first; one; one = one->next)
        if (!check_members(one, member->inner, path, no)) return false;
    return true;
}

static bool check_members(const struct json *value, const struct member *members, const char *where,
                          struct refusal *no)
{
    for (const struct json *one = value->first; one; one = one->next) {
        const struct member *member = members;
        while (member->name && strcmp(member->name, one->key)) member++;
        if (!member->name) return refuse(no, HCN_E_INVALID_JSON, "%s has no member %s", where, one->key);
        if (!check_value(one, member, where, no)) return false;
    }
    for (const struct member *member = members; member->name; member++)
        if (member->required && !json_get(value, member->name))
            return refuse(no, HCN_E_INVALID_JSON, "%s needs %s", where, member->name);
    return true;
}

static struct json *read_document(const char *text, const struct member *members, const char *what,
                                  struct refusal *no)
{
    char why[96];
    struct json *document = json_parse(text ? text : "", why, sizeof why);
    if (!document) refuse(no, HCN_E_INVALID_JSON, "%s: %s", what, why);
    else if (document->type != JSON_OBJECT) refuse(no, HCN_E_INVALID_JSON, "%s is no object", what);
    else if (check_members(document, members, what, no)) {
        const struct json *version = json_get(document, "SchemaVersion");
        if (!version || json_integer(version, "Major", 0) == 2) return document;
        refuse(no, HCN_E_INVALID_JSON, "%s: SchemaVersion must be 2.x", what);
    }
    json_free(document);
    return NULL;
}

static struct json *keep(struct json *document, bool good)
{
    if (good) return document;
    json_free(document);
    return NULL;
}

static bool check_network(const struct json *document, struct refusal *no)
{
    static const char *const types[] = {
        "Internal", "Transparent", "NAT", "ICS", "L2Bridge", "L2Tunnel", "Overlay", "Private", "Mirrored",
        "Infiniband", "ConstrainedICS",
    };
    const char *type = json_text(document, "Type", "");
    const struct json *policies = json_get(document, "Policies");
    size_t i = 0;
    while (i < sizeof types / sizeof *types && strcmp(types[i], type)) i++;
    if (i == sizeof types / sizeof *types)
        return refuse(no, HCN_E_INVALID_NETWORK_TYPE, "no network type %s", type);
    if (policies && !strcmp(type, "Internal"))
        return refuse(no, HCN_E_INVALID_POLICY, "an Internal network takes no Policies");
    if (!*json_text(document, "Name", "")) return refuse(no, HCN_E_INVALID_JSON, "Name is empty");
    return check_policies(policies, "network", no) && check_subnets(document, no);
}

struct json *read_network(const char *text, struct refusal *no)
{
    struct json *document = read_document(text, NETWORK, "network", no);
    return document ? keep(document, check_network(document, no)) : NULL;
}

struct json *read_endpoint(const char *text, struct refusal *no)
{
    GUID id;
    struct json *document = read_document(text, ENDPOINT, "endpoint", no);
    if (!document) return NULL;
    const char *network = json_text(document, "HostComputeNetwork", "");
    if (!parse_guid(network, &id, false) || *network == '{') {
        refuse(no, HCN_E_INVALID_JSON, "HostComputeNetwork %s is no GUID without braces", network);
        return keep(document, false);
    }
    return keep(document, check_policies(json_get(document, "Policies"), "endpoint", no));
}

struct json *read_namespace(const char *text, struct refusal *no)
{
    static const char *const types[] = { "Host", "HostDefault", "Guest", "GuestDefault" };
    struct json *document = read_document(text, NAMESPACE, "namespace", no);
    if (!document) return NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i], json_text(document, "Type", ""))) return document;
    refuse(no, HCN_E_INVALID_JSON, "no namespace type %s", json_text(document, "Type", ""));
    return keep(document, false);
}

struct json *read_modify(const char *text, struct refusal *no)
{
    GUID id;
    struct json *document = read_document(text, MODIFY, "request", no);
    if (!document) return NULL;
    const char *endpoint = json_text(json_get(document, "Settings"), "EndpointId", "");
    const char *request = json_text(document, "RequestType", "");
    if (strcmp(json_text(document, "ResourceType", ""), "Endpoint"))
        refuse(no, HCN_E_REQUEST_UNSUPPORTED, "no such ResourceType");
    else if (strcmp(request, "Add") && strcmp(request, "Remove"))
        refuse(no, HCN_E_REQUEST_UNSUPPORTED, "no RequestType %s", request);
    else if (!parse_guid(endpoint, &id, true))
        refuse(no, HCN_E_INVALIDARG, "EndpointId %s is no bare GUID in lower case", endpoint);
    else return document;
    return keep(document, false);
}

static bool is_one_of(const char *text, const char *const words[])
{
    while (*words && strcmp(*words, text)) words++;
    return *words != NULL;
}

/* hcsshim knows Extension of a network and Port of an endpoint too; nobody here has a use for them. */
static bool check_change(const struct json *change, enum kind kind, struct refusal *no)
{
    static const char *const requests[] = { "Add", "Remove", "Update", NULL };
    const char *resource = json_text(change, "ResourceType", ""), *request = json_text(change, "RequestType", "");
    const struct json *settings = json_get(change, "Settings");
    const char *what = KIND_NAMES[kind];
    if (!strcmp(resource, "Policy")) {
        if (!is_one_of(request, requests))
            return refuse(no, HCN_E_REQUEST_UNSUPPORTED, "no RequestType %s for Policy", request);
        return check_members(settings, POLICIES, "Settings", no) &&
               check_policies(json_get(settings, "Policies"), what, no);
    }
    if (kind == KIND_NETWORK && !strcmp(resource, "DNS")) {
        if (strcmp(request, "Update"))
            return refuse(no, HCN_E_REQUEST_UNSUPPORTED, "no RequestType %s for DNS", request);
        return check_members(settings, DNS, "Settings", no);
    }
    return refuse(no, HCN_E_REQUEST_UNSUPPORTED, "no ResourceType %s of a %s", resource, what);
}

struct json *read_change(const char *text, enum kind kind, struct refusal *no)
{
    struct json *change = read_document(text, CHANGE, "request", no);
    return change ? keep(change, check_change(change, kind, no)) : NULL;
}

struct json *read_query(const char *text, struct refusal *no)
{
    char why[96];
    struct json *query = read_document(text && *text ? text : "{}", QUERY, "query", no), *filter;
    const char *source = json_text(query, "Filter", NULL);
    if (!source) return query;
    filter = json_parse(source, why, sizeof why);
    if (filter && filter->type == JSON_OBJECT) {
        /* The text makes room for what it says. */
        struct json *member = (struct json *)json_get(query, "Filter");
        free(member->text);
        member->text = NULL;
        member->type = JSON_OBJECT;
        member->first = filter->first;
        filter->first = NULL;
        json_free(filter);
        return query;
    }
    json_free(filter);
    refuse(no, HCN_E_INVALID_JSON, "Filter holds no JSON object");
    return keep(query, false);
}
