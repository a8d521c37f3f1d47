/* The namespace functions of computenetwork.dll. */
#include "exports.h"

GUID assigned_id;
bool has_assigned_id;

HRESULT WINAPI HcnEnumerateNamespaces(PCWSTR query, PWSTR *namespaces, PWSTR *record)
{
    struct api api;
    enumerate("HcnEnumerateNamespaces", KIND_NAMESPACE, &api, &(struct arguments){
        .settings = query, .settings_name = "Query", .string_out = namespaces, .needs_string_out = true,
        .record_out = record });
    return api_end(&api);
}

static void create(struct api *api, const GUID *wanted)
{
    GUID id = has_assigned_id ? assigned_id : *wanted;
    struct json *document = read_namespace(api->settings, &api->no);
    if (!document) return;
    if (!strcmp(json_text(document, "Type", ""), "HostDefault")) {
        /* There is one, and it is what the caller gets, whatever id it asked for. */
        violation("HcnCreateNamespace: a HostDefault namespace belongs to the host");
        api_opens(api, KIND_NAMESPACE, &default_namespace()->id);
        json_free(document);
    } else if (find_object(KIND_NAMESPACE, &id)) {
        refuse(&api->no, HCN_E_EXISTS, "there is such a namespace already");
        json_free(document);
    } else {
        has_assigned_id = false;
        add_object(KIND_NAMESPACE, &id, document);
        api_opens(api, KIND_NAMESPACE, &id);
    }
}

HRESULT WINAPI HcnCreateNamespace(REFGUID id, PCWSTR settings, void **namespace, PWSTR *record)
{
    struct api api;
    if (api_begin(&api, "HcnCreateNamespace", &(struct arguments){
            .id = id, .needs_id = true, .settings = settings, .settings_name = "Settings",
            .handle_out = namespace, .needs_handle_out = true, .record_out = record }))
        create(&api, id);
    return api_end(&api);
}

HRESULT WINAPI HcnOpenNamespace(REFGUID id, void **namespace, PWSTR *record)
{
    struct api api;
    open_object("HcnOpenNamespace", KIND_NAMESPACE, &api, &(struct arguments){
        .id = id, .needs_id = true, .handle_out = namespace, .needs_handle_out = true, .record_out = record });
    return api_end(&api);
}

static void add_endpoint(struct object *namespace, const char *id, struct refusal *no)
{
    GUID endpoint;
    parse_guid(id, &endpoint, true);
    const struct object *holder = namespace_of(&endpoint);
    if (!find_object(KIND_ENDPOINT, &endpoint)) refuse(no, HCN_E_ENDPOINT_NOT_FOUND, "no endpoint %s", id);
    else if (holder == namespace) refuse(no, HCN_E_ENDPOINT_ALREADY_ATTACHED, "the endpoint is in it already");
    else if (holder) refuse(no, HCN_E_NAMESPACE_ALREADY_EXISTS, "the endpoint is in another namespace");
    else add_resource(namespace, "Endpoint", id);
}

static void modify(struct api *api, struct object *namespace)
{
    api->document = read_modify(api->settings, &api->no);
    if (!api->document) return;
    const char *id = json_text(json_get(api->document, "Settings"), "EndpointId", "");
    if (namespace == default_namespace()) violation("HcnModifyNamespace: of the host's own namespace");
    if (!strcmp(json_text(api->document, "RequestType", ""), "Add")) add_endpoint(namespace, id, &api->no);
    else if (!remove_resource(namespace, "Endpoint", id))
        refuse(&api->no, HCN_E_ENDPOINT_NOT_FOUND, "the namespace does not hold %s", id);
}

HRESULT WINAPI HcnModifyNamespace(void *namespace, PCWSTR settings, PWSTR *record)
{
    struct api api;
    if (api_begin(&api, "HcnModifyNamespace", &(struct arguments){
            .handle = namespace, .has_handle = true, .settings = settings, .settings_name = "Settings",
            .record_out = record })) {
        struct object *object = resolve("HcnModifyNamespace", namespace, KIND_NAMESPACE, &api.no);
        if (object) modify(&api, object);
    }
    return api_end(&api);
}

HRESULT WINAPI HcnQueryNamespaceProperties(void *namespace, PCWSTR query, PWSTR *properties, PWSTR *record)
{
    struct api api;
    query_object("HcnQueryNamespaceProperties", KIND_NAMESPACE, &api, &(struct arguments){
        .handle = namespace, .has_handle = true, .settings = query, .settings_name = "Query",
        .string_out = properties, .needs_string_out = true, .record_out = record });
    return api_end(&api);
}

/* References to endpoints that are gone do not hold a namespace. */
static bool has_live_endpoint(const struct object *namespace)
{
    GUID id;
    for (const struct resource *held = namespace->resources; held; held = held->next)
        if (!strcmp(held->type, "Endpoint") && parse_guid(held->id, &id, false) && find_object(KIND_ENDPOINT, &id))
            return true;
    return false;
}

HRESULT WINAPI HcnDeleteNamespace(REFGUID id, PWSTR *record)
{
    struct api api;
    struct object *namespace = object_to_delete("HcnDeleteNamespace", KIND_NAMESPACE, &api, &(struct arguments){
        .id = id, .needs_id = true, .record_out = record });
    if (namespace && namespace == default_namespace()) {
        violation("HcnDeleteNamespace: of the host's own namespace");
        refuse(&api.no, HCN_E_INVALIDARG, "the host's own namespace stays");
    } else if (namespace && has_live_endpoint(namespace)) {
        refuse(&api.no, HCN_E_HAS_REFERENCES, "the namespace holds an endpoint");
    } else if (namespace) remove_object(namespace);
    return api_end(&api);
}

HRESULT WINAPI HcnCloseNamespace(void *namespace)
{
    struct api api;
    close_object("HcnCloseNamespace", KIND_NAMESPACE, &api, namespace);
    return api_end(&api);
}
