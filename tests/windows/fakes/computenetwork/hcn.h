/*
 * A fake HNS behind the functions of computenetwork.dll: networks, endpoints and namespaces with the state, the
 * addresses and the refusals of a real one, as far as `computenetwork.h`, hcsshim's `hcn` package and Microsoft's
 * HNS schema tell. It is stricter where the daemon has to be: unknown members, wrong letter case, braces around GUIDs and
 * out-parameters that are not zero are refused or recorded, whether or not a Windows build would mind.
 *
 * Strings are handed out in memory that CoTaskMemFree of ole32 frees, and an IMallocSpy sees every such free.
 *
 * With the environment variable FAKE_HNS_STATE naming a file, the state lives there and is shared by all
 * processes that do so, as HNS is; without it, it is this process's.
 *
 * Requests besides those of fake.h:
 *
 *   state       {"networks", "endpoints", "namespaces"} in the form that `put` takes
 *   put         {"kind": "network|endpoint|namespace", "object"}: enters an object without asking whether HNS
 *               would; missing members have sensible values
 *   forget      {"objects": true}: HNS starts anew. Open handles are of no use any more (803B0031 until
 *               closed), and with objects everything but the default namespace is gone
 *   settle      {"ms"}: for so long after its creation a network's IPAM answers 803B002F; 200 at first
 *   assign      {"id"}: the next namespace gets that id, whatever was asked for
 *   assignIp    {"ip"}: the next endpoint gets that address, whatever was asked for
 *   adapters    {"names": [..]}: friendly names a Transparent network may be bound to; "Ethernet" at first
 *   container   {"namespace", "id"}: a container joins a namespace
 *   handles     {"handles": [{"kind", "id", "open"}]}
 *   vnics       {"ms"}: how long after a network is made the host's adapter on it has its address; 0 at first. Only
 *               with FAKE_HNS_STATE has a host such adapters, and only when the fake of iphlpapi is loaded
 */
#ifndef FAKES_HCN_H
#define FAKES_HCN_H

#include "../common/fake.h"

#define HCN_S_OK ((HRESULT)0)
#define HCN_E_POINTER ((HRESULT)0x80004003)
#define HCN_E_INVALIDARG ((HRESULT)0x80070057)
#define HCN_E_EXISTS ((HRESULT)0x800700B7)
#define HCN_E_ELEMENT_NOT_FOUND ((HRESULT)0x80070490)
#define HCN_E_NETWORK_NOT_FOUND ((HRESULT)0x803B0001)
#define HCN_E_ENDPOINT_NOT_FOUND ((HRESULT)0x803B0002)
#define HCN_E_SUBNET_NOT_FOUND ((HRESULT)0x803B0005)
#define HCN_E_ADAPTER_NOT_FOUND ((HRESULT)0x803B0006)
#define HCN_E_POLICY_NOT_FOUND ((HRESULT)0x803B0008)
#define HCN_E_INVALID_NETWORK_TYPE ((HRESULT)0x803B000B)
#define HCN_E_INVALID_POLICY ((HRESULT)0x803B000D)
#define HCN_E_INVALID_POLICY_TYPE ((HRESULT)0x803B000E)
#define HCN_E_NETWORK_ALREADY_EXISTS ((HRESULT)0x803B0010)
#define HCN_E_POLICY_ALREADY_EXISTS ((HRESULT)0x803B0012)
#define HCN_E_PORT_ALREADY_EXISTS ((HRESULT)0x803B0013)
#define HCN_E_ENDPOINT_ALREADY_ATTACHED ((HRESULT)0x803B0014)
#define HCN_E_REQUEST_UNSUPPORTED ((HRESULT)0x803B0015)
#define HCN_E_INVALID_JSON ((HRESULT)0x803B001B)
#define HCN_E_INVALID_IP ((HRESULT)0x803B001E)
#define HCN_E_NAMESPACE_ALREADY_EXISTS ((HRESULT)0x803B002B)
#define HCN_E_HAS_REFERENCES ((HRESULT)0x803B002C)
#define HCN_E_ADDR_INVALID_OR_RESERVED ((HRESULT)0x803B002F)
#define HCN_E_USED_AFTER_UNLOAD ((HRESULT)0x803B0031)
#define HCN_E_INVALID_SUBNET ((HRESULT)0x803B0032)
#define HCN_E_INVALID_IP_SUBNET ((HRESULT)0x803B0033)

enum kind { KIND_NETWORK, KIND_ENDPOINT, KIND_NAMESPACE, KINDS };
extern const char *const KIND_NAMES[KINDS];

/* What a namespace holds; a deleted endpoint's entry stays, as it does in HNS. */
struct resource {
    char *type;          /* "Endpoint" or "Container" */
    char *id;
    struct resource *next;
};

struct object {
    enum kind kind;
    GUID id;
    struct json *document;   /* as created; never NULL */
    ULONGLONG created;       /* of a network: GetTickCount64 */
    GUID network;            /* of an endpoint */
    uint32_t address;        /* of an endpoint; host order, 0 = none */
    int prefix_length;
    unsigned number;         /* of a namespace: its NamespaceId; of an endpoint: low bytes of its MAC */
    struct resource *resources;
    struct object *next;
};

/* Why something is refused. */
struct refusal {
    HRESULT hr;
    char text[256];
};

/* state.c: the objects; all but enter and leave only between those two. */
extern struct object *objects;
void state_enter(void);
void state_leave(void);
struct object *find_object(enum kind kind, const GUID *id);
struct object *add_object(enum kind kind, const GUID *id, struct json *document);
void remove_object(struct object *object);
void forget_objects(void);
void add_resource(struct object *namespace, const char *type, const char *id);
bool remove_resource(struct object *namespace, const char *type, const char *id);
/* The namespace that holds a reference to the endpoint, or NULL. */
struct object *namespace_of(const GUID *endpoint);
bool has_endpoints(const struct object *network);
struct object *default_namespace(void);
void write_state(struct text *out);
bool put_object(const struct json *request);

/* vnics.c: brings the IP stack up to the networks there are; inside state_enter. */
void announce_vnics(void);
extern int vnic_ms;

/* guid.c */
bool parse_guid(const char *text, GUID *id, bool strict);
char *format_guid(char out[39], const GUID *id, bool upper);

/* addresses.c: IPv4, in host order. */
struct subnet {
    uint32_t network;
    int length;
    uint32_t gateway;   /* of its default route; 0 = none */
};
bool parse_ipv4(const char *text, uint32_t *address);
bool parse_prefix(const char *text, uint32_t *address, int *length);
void format_ipv4(char out[16], uint32_t address);
uint32_t prefix_mask(int length);
/* The n-th subnet of a network's document; false when there are fewer. */
bool subnet_at(const struct object *network, int n, struct subnet *subnet);
bool check_subnets(const struct json *document, struct refusal *no);
/* Gives the endpoint its address: the one its document asks for, else the lowest free one. */
bool assign_address(const struct object *network, struct object *endpoint, struct refusal *no);

/* documents.c: what HNS takes. Each parses the text too; NULL with a refusal when it is not acceptable. */
struct json *read_network(const char *text, struct refusal *no);
struct json *read_endpoint(const char *text, struct refusal *no);
struct json *read_namespace(const char *text, struct refusal *no);
struct json *read_modify(const char *text, struct refusal *no);
/* A change of a network or an endpoint. */
struct json *read_change(const char *text, enum kind kind, struct refusal *no);
struct json *read_query(const char *text, struct refusal *no);
bool refuse(struct refusal *no, HRESULT hr, const char *format, ...) __attribute__((format(gnu_printf, 3, 4)));

/* changes.c: carries a change out, on the object's document. */
bool change_object(struct object *object, const struct json *change, struct refusal *no);

/* policies.c: the `Policies` array of a network or endpoint. */
bool check_policies(const struct json *policies, const char *where, struct refusal *no);
extern struct json *adapters;

/* shapes.c: answers, by the query's schema version. */
bool wants_v2(const struct json *query);
bool matches(const struct object *object, const struct json *filter);
void write_object(struct text *out, const struct object *object, bool v2);

/* handles.c */
void *open_handle(enum kind kind, const GUID *id);
/* The object behind a handle, inside state_enter; otherwise NULL and a refusal. */
struct object *resolve(const char *function, void *handle, enum kind kind, struct refusal *no);
HRESULT close_handle(const char *function, void *handle, enum kind kind);
int open_handles(enum kind kind, const GUID *id);
void spoil_handles(void);
void close_all_handles(void);
void write_handles(struct text *out);
void write_handle_counters(struct text *out);

/* strings.c */
wchar_t *hand_out(const char *utf8);
void write_string_counters(struct text *out);
void forget_strings(void);

/* api.c: the frame of every exported function. */
struct api {
    struct call call;
    struct refusal no;
    char *settings;         /* the document or query as UTF-8, or NULL */
    struct json *document;  /* for the function's use; freed at the end */
    char *output;           /* text for the string out-parameter */
    bool opens;             /* a handle goes out to the caller */
    enum kind opened;
    GUID opened_id;
    void **handle_out;
    wchar_t **string_out, **record_out;
};

struct arguments {
    const GUID *id;
    bool needs_id;
    void *handle;
    bool has_handle;
    const wchar_t *settings;
    const char *settings_name;   /* "Settings" or "Query"; NULL when the function has neither */
    void **handle_out;
    bool needs_handle_out;
    wchar_t **string_out;
    bool needs_string_out;
    wchar_t **record_out;
};

/* Checks and logs the arguments; true when the function's work is to be done, between it and api_end(). */
bool api_begin(struct api *api, const char *function, const struct arguments *arguments);
HRESULT api_end(struct api *api);
void api_opens(struct api *api, enum kind kind, const GUID *id);

extern int settle_ms;
extern GUID assigned_id;
extern bool has_assigned_id;
extern uint32_t assigned_ip;

#endif
