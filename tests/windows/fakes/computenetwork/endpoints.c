/* The endpoint functions of computenetwork.dll. */
#include "exports.h"

HRESULT WINAPI HcnEnumerateEndpoints(PCWSTR query, PWSTR *endpoints, PWSTR *record)
{
    struct api api;
    enumerate("HcnEnumerateEndpoints", KIND_ENDPOINT, &api, &(struct arguments){
        .settings = query, .settings_name = "Query", .string_out = endpoints, .needs_string_out = true,
        .record_out = record });
    return api_end(&api);
}

/* Makes the endpoint on its network, or says why not. */
static void create(struct api *api, const struct object *network, const GUID *id)
{
    GUID named;
    struct json *document = read_endpoint(api->settings, &api->no);
    if (!document) return;
    parse_guid(json_text(document, "HostComputeNetwork", ""), &named, false);
    if (!IsEqualGUID(&named, &network->id)) {
        refuse(&api->no, HCN_E_INVALIDARG, "HostComputeNetwork is another network than the handle's");
        json_free(document);
    } else if (find_object(KIND_ENDPOINT, id)) {
        refuse(&api->no, HCN_E_PORT_ALREADY_EXISTS, "there is such an endpoint already");
        json_free(document);
    } else {
        struct object *endpoint = add_object(KIND_ENDPOINT, id, document);
        endpoint->network = network->id;
        if (assign_address(network, endpoint, &api->no)) api_opens(api, KIND_ENDPOINT, id);
        else remove_object(endpoint);
    }
}

HRESULT WINAPI HcnCreateEndpoint(void *network, REFGUID id, PCWSTR settings, void **endpoint, PWSTR *record)
{
    struct api api;
    if (api_begin(&api, "HcnCreateEndpoint", &(struct arguments){
            .id = id, .needs_id = true, .handle = network, .has_handle = true, .settings = settings,
            .settings_name = "Settings", .handle_out = endpoint, .needs_handle_out = true, .record_out = record })) {
        const struct object *on = resolve("HcnCreateEndpoint", network, KIND_NETWORK, &api.no);
        if (on) create(&api, on, id);
    }
    return api_end(&api);
}

HRESULT WINAPI HcnOpenEndpoint(REFGUID id, void **endpoint, PWSTR *record)
{
    struct api api;
    open_object("HcnOpenEndpoint", KIND_ENDPOINT, &api, &(struct arguments){
        .id = id, .needs_id = true, .handle_out = endpoint, .needs_handle_out = true, .record_out = record });
    return api_end(&api);
}

HRESULT WINAPI HcnModifyEndpoint(void *endpoint, PCWSTR settings, PWSTR *record)
{
    struct api api;
    modify_object("HcnModifyEndpoint", KIND_ENDPOINT, &api, &(struct arguments){
        .handle = endpoint, .has_handle = true, .settings = settings, .settings_name = "Settings",
        .record_out = record });
    return api_end(&api);
}

HRESULT WINAPI HcnQueryEndpointProperties(void *endpoint, PCWSTR query, PWSTR *properties, PWSTR *record)
{
    struct api api;
    query_object("HcnQueryEndpointProperties", KIND_ENDPOINT, &api, &(struct arguments){
        .handle = endpoint, .has_handle = true, .settings = query, .settings_name = "Query",
        .string_out = properties, .needs_string_out = true, .record_out = record });
    return api_end(&api);
}

static char *write_stats(const struct object *endpoint)
{
    static const char *const counters[] = {
        "BytesReceived", "BytesSent", "DroppedPacketsIncoming", "DroppedPacketsOutgoing", "PacketsReceived",
        "PacketsSent",
    };
    char id[39];
    struct text stats = { 0 };
    text_append(&stats, "{");
    text_member(&stats, "EndpointID", format_guid(id, &endpoint->id, true));
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) text_member_integer(&stats, counters[i], 0);
    text_append(&stats, "}");
    return stats.data;
}

HRESULT WINAPI HcnQueryEndpointStats(void *endpoint, PCWSTR query, PWSTR *stats, PWSTR *record)
{
    struct api api;
    if (api_begin(&api, "HcnQueryEndpointStats", &(struct arguments){
            .handle = endpoint, .has_handle = true, .settings = query, .settings_name = "Query",
            .string_out = stats, .needs_string_out = true, .record_out = record })) {
        const struct object *object = resolve("HcnQueryEndpointStats", endpoint, KIND_ENDPOINT, &api.no);
        if (object) api.document = read_query(api.settings, &api.no);
        if (api.document) api.output = write_stats(object);
    }
    return api_end(&api);
}

/* The endpoint goes; a namespace that held it keeps the reference, as HNS's do. */
HRESULT WINAPI HcnDeleteEndpoint(REFGUID id, PWSTR *record)
{
    struct api api;
    struct object *endpoint = object_to_delete("HcnDeleteEndpoint", KIND_ENDPOINT, &api, &(struct arguments){
        .id = id, .needs_id = true, .record_out = record });
    if (endpoint) remove_object(endpoint);
    return api_end(&api);
}

HRESULT WINAPI HcnCloseEndpoint(void *endpoint)
{
    struct api api;
    close_object("HcnCloseEndpoint", KIND_ENDPOINT, &api, endpoint);
    return api_end(&api);
}
