/*
 * The host's adapters on Internal networks: `vEthernet (<network>)`, with the gateway's address. The fake of iphlpapi
 * is told of them where HNS is what it is on a real host, a service that outlives this process.
 */
#include <stdlib.h>
#include <string.h>
#include "hcn.h"

#define IF_TYPE_ETHERNET 6ull

/* One that the IP stack of this process knows. */
struct vnic {
    GUID network;
    struct vnic *next;
};
static struct vnic *vnics;
int vnic_ms;

static unsigned long long luid_of(const GUID *network)
{
    return IF_TYPE_ETHERNET << 48 | (unsigned long long)(network->Data1 & 0xFFFFFF) << 24;
}

static bool tell_stack(const char *request)
{
    return ask_fake("CreateUnicastIpAddressEntry", request);
}

/* The address comes a while after the adapter. */
static DWORD WINAPI tell_later(void *request)
{
    Sleep((DWORD)vnic_ms);
    tell_stack(request);
    free(request);
    return 0;
}

static void give_address(const struct object *network, const struct subnet *subnet)
{
    char gateway[16];
    format_ipv4(gateway, subnet->gateway);
    char *request = text_of("{\"op\":\"interface\",\"luid\":\"%llu\",\"address\":\"%s/%d\"}",
                            luid_of(&network->id), gateway, subnet->length);
    HANDLE thread = vnic_ms ? CreateThread(NULL, 0, tell_later, request, 0, NULL) : NULL;
    if (thread) {
        CloseHandle(thread);
        return;
    }
    tell_stack(request);
    free(request);
}

static struct vnic **find(const GUID *network)
{
    struct vnic **link = &vnics;
    while (*link && !IsEqualGUID(&(*link)->network, network)) link = &(*link)->next;
    return link;
}

static void add(const struct object *network, const struct subnet *subnet)
{
    struct text request = { 0 };
    text_append(&request, "{\"op\":\"interface\",\"lasts\":true,\"luid\":\"%llu\"", luid_of(&network->id));
    char *alias = text_of("vEthernet (%s)", json_text(network->document, "Name", ""));
    text_member(&request, "alias", alias);
    text_append(&request, "}");
    struct vnic *vnic = calloc(1, sizeof *vnic);
    if (!vnic) abort();
    if (tell_stack(request.data)) {
        *vnic = (struct vnic){ .network = network->id, .next = vnics };
        vnics = vnic;
        give_address(network, subnet);
    } else free(vnic);
    free(alias);
    text_free(&request);
}

static void drop(struct vnic **link)
{
    struct vnic *vnic = *link;
    char *request = text_of("{\"op\":\"interface\",\"present\":false,\"luid\":\"%llu\"}", luid_of(&vnic->network));
    tell_stack(request);
    free(request);
    *link = vnic->next;
    free(vnic);
}

void announce_vnics(void)
{
    struct subnet subnet;
    for (struct vnic **link = &vnics; *link;) {
        if (find_object(KIND_NETWORK, &(*link)->network)) link = &(*link)->next;
        else drop(link);
    }
    for (const struct object *one = objects; one; one = one->next) {
        if (one->kind != KIND_NETWORK || strcmp(json_text(one->document, "Type", ""), "Internal")) continue;
        if (!*find(&one->id) && subnet_at(one, 0, &subnet) && subnet.gateway) add(one, &subnet);
    }
}
