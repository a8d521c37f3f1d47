/* The network functions of computenetwork.dll, and those that are alike for all kinds of objects. */
#include "exports.h"

void enumerate(const char *function, enum kind kind, struct api *api, const struct arguments *a)
{
    if (!api_begin(api, function, a)) return;
    api->document = read_query(api->settings, &api->no);
    if (!api->document) return;
    struct text list = { 0 };
    char id[39];
    text_append(&list, "[");
    for (const struct object *one = objects; one; one = one->next) {
        if (one->kind != kind || !matches(one, api->document)) continue;
        text_comma(&list);
        text_quote(&list, format_guid(id, &one->id, true));
    }
    text_append(&list, "]");
    api->output = list.data;
}

void open_object(const char *function, enum kind kind, struct api *api, const struct arguments *a)
{
    static const HRESULT missing[] = { HCN_E_NETWORK_NOT_FOUND, HCN_E_ENDPOINT_NOT_FOUND, HCN_E_ELEMENT_NOT_FOUND };
    if (!api_begin(api, function, a)) return;
    if (find_object(kind, a->id)) api_opens(api, kind, a->id);
    else refuse(&api->no, missing[kind], "no such %s", KIND_NAMES[kind]);
}

void query_object(const char *function, enum kind kind, struct api *api, const struct arguments *a)
{
    if (!api_begin(api, function, a)) return;
    api->document = read_query(api->settings, &api->no);
    struct object *object = api->document ? resolve(function, a->handle, kind, &api->no) : NULL;
    if (!object) return;
    struct text answer = { 0 };
    write_object(&answer, object, wants_v2(api->document));
    api->output = answer.data;
}

void modify_object(const char *function, enum kind kind, struct api *api, const struct arguments *a)
{
    if (!api_begin(api, function, a)) return;
    struct object *object = resolve(function, a->handle, kind, &api->no);
    if (object) api->document = read_change(api->settings, kind, &api->no);
    if (api->document) change_object(object, api->document, &api->no);
}

/* The object to delete; that handles to it are open is our caller's mistake, not HNS's. */
struct object *object_to_delete(const char *function, enum kind kind, struct api *api, const struct arguments *a)
{
    static const HRESULT missing[] = { HCN_E_NETWORK_NOT_FOUND, HCN_E_ENDPOINT_NOT_FOUND, HCN_E_ELEMENT_NOT_FOUND };
    if (!api_begin(api, function, a)) return NULL;
    struct object *object = find_object(kind, a->id);
    if (!object) refuse(&api->no, missing[kind], "no such %s", KIND_NAMES[kind]);
    int open = open_handles(kind, a->id);
    if (open > 0) violation("%s: %d handles of it are open", function, open);
    return object;
}

void close_object(const char *function, enum kind kind, struct api *api, void *handle)
{
    struct arguments a = { .handle = handle, .has_handle = true };
    if (api_begin(api, function, &a)) api->no.hr = close_handle(function, handle, kind);
}

HRESULT WINAPI HcnEnumerateNetworks(PCWSTR query, PWSTR *networks, PWSTR *record)
{
    struct api api;
    enumerate("HcnEnumerateNetworks", KIND_NETWORK, &api, &(struct arguments){
        .settings = query, .settings_name = "Query", .string_out = networks, .needs_string_out = true,
        .record_out = record });
    return api_end(&api);
}

static bool is_name_taken(const char *name)
{
    for (const struct object *one = objects; one; one = one->next)
        if (one->kind == KIND_NETWORK && !strcmp(json_text(one->document, "Name", ""), name)) return true;
    return false;
}

HRESULT WINAPI HcnCreateNetwork(REFGUID id, PCWSTR settings, void **network, PWSTR *record)
{
    struct api api;
    if (api_begin(&api, "HcnCreateNetwork", &(struct arguments){
            .id = id, .needs_id = true, .settings = settings, .settings_name = "Settings",
            .handle_out = network, .needs_handle_out = true, .record_out = record })) {
        struct json *document = read_network(api.settings, &api.no);
        if (document && (find_object(KIND_NETWORK, id) || is_name_taken(json_text(document, "Name", "")))) {
            refuse(&api.no, HCN_E_NETWORK_ALREADY_EXISTS, "there is such a network already");
            json_free(document);
        } else if (document) {
            add_object(KIND_NETWORK, id, document);
            api_opens(&api, KIND_NETWORK, id);
        }
    }
    return api_end(&api);
}

HRESULT WINAPI HcnOpenNetwork(REFGUID id, void **network, PWSTR *record)
{
    struct api api;
    open_object("HcnOpenNetwork", KIND_NETWORK, &api, &(struct arguments){
        .id = id, .needs_id = true, .handle_out = network, .needs_handle_out = true, .record_out = record });
    return api_end(&api);
}

HRESULT WINAPI HcnModifyNetwork(void *network, PCWSTR settings, PWSTR *record)
{
    struct api api;
    modify_object("HcnModifyNetwork", KIND_NETWORK, &api, &(struct arguments){
        .handle = network, .has_handle = true, .settings = settings, .settings_name = "Settings",
        .record_out = record });
    return api_end(&api);
}

HRESULT WINAPI HcnQueryNetworkProperties(void *network, PCWSTR query, PWSTR *properties, PWSTR *record)
{
    struct api api;
    query_object("HcnQueryNetworkProperties", KIND_NETWORK, &api, &(struct arguments){
        .handle = network, .has_handle = true, .settings = query, .settings_name = "Query",
        .string_out = properties, .needs_string_out = true, .record_out = record });
    return api_end(&api);
}

HRESULT WINAPI HcnDeleteNetwork(REFGUID id, PWSTR *record)
{
    struct api api;
    struct object *network = object_to_delete("HcnDeleteNetwork", KIND_NETWORK, &api, &(struct arguments){
        .id = id, .needs_id = true, .record_out = record });
    if (network && has_endpoints(network)) refuse(&api.no, HCN_E_HAS_REFERENCES, "the network has endpoints");
    else if (network) remove_object(network);
    return api_end(&api);
}

HRESULT WINAPI HcnCloseNetwork(void *network)
{
    struct api api;
    close_object("HcnCloseNetwork", KIND_NETWORK, &api, network);
    return api_end(&api);
}
