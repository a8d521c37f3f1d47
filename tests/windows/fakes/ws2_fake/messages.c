/* Messages and their control data, held against Windows' headers; see ws2_fake.h. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "ws2_fake.h"

/* What ffi/windows/socket_message.ts writes. */
_Static_assert(sizeof(WSAMSG) == 56 && offsetof(WSAMSG, name) == 0 && offsetof(WSAMSG, namelen) == 8, "WSAMSG");
_Static_assert(offsetof(WSAMSG, lpBuffers) == 16 && offsetof(WSAMSG, dwBufferCount) == 24, "WSAMSG");
_Static_assert(offsetof(WSAMSG, Control) == 32 && offsetof(WSAMSG, dwFlags) == 48, "WSAMSG");
_Static_assert(sizeof(WSABUF) == 16 && offsetof(WSABUF, len) == 0 && offsetof(WSABUF, buf) == 8, "WSABUF");
_Static_assert(sizeof(WSACMSGHDR) == 16 && offsetof(WSACMSGHDR, cmsg_len) == 0, "WSACMSGHDR");
_Static_assert(offsetof(WSACMSGHDR, cmsg_level) == 8 && offsetof(WSACMSGHDR, cmsg_type) == 12, "WSACMSGHDR");
_Static_assert(WSA_CMSG_SPACE(8) == 24 && WSA_CMSG_SPACE(20) == 40 && WSA_CMSG_SPACE(4) == 24, "WSA_CMSG_SPACE");
_Static_assert(WSA_CMSG_LEN(4) == 20 && WSA_CMSG_LEN(20) == 36, "WSA_CMSG_LEN");
_Static_assert(sizeof(IN_PKTINFO) == 8 && offsetof(IN_PKTINFO, ipi_ifindex) == 4, "IN_PKTINFO");
_Static_assert(sizeof(IN6_PKTINFO) == 20 && offsetof(IN6_PKTINFO, ipi6_ifindex) == 16, "IN6_PKTINFO");
_Static_assert(IP_PKTINFO == 19 && IPV6_PKTINFO == 19 && IPPROTO_IPV6 == 41, "names of options");
_Static_assert(UDP_SEND_MSG_SIZE == 2 && UDP_RECV_MAX_COALESCED_SIZE == 3 && UDP_COALESCED_INFO == 3, "UDP options");
_Static_assert(sizeof(WSAPOLLFD) == 16 && offsetof(WSAPOLLFD, events) == 8, "WSAPOLLFD");
_Static_assert(sizeof(WSANETWORKEVENTS) == 44 && sizeof(WSADATA) == 408, "WSANETWORKEVENTS, WSADATA");
_Static_assert(POLLWRNORM == 0x10 && FD_READ == 1, "events");
_Static_assert(SIO_GET_EXTENSION_FUNCTION_POINTER == 0xc8000006 && SIO_UDP_CONNRESET == 0x9800000c, "codes");

#define MAX_GONE 8
#define MAX_DATAGRAM 65507

static char gone[MAX_GONE][INET6_ADDRSTRLEN];
static struct text sends;

bool check_message(const char *function, const WSAMSG *message, int family)
{
    const int name = family == AF_INET ? 16 : 28;
    if (!is_readable(message, sizeof *message)) return violation("%s: lpMsg cannot be read", function), false;
    if (message->dwBufferCount != 1) violation("%s: dwBufferCount is %lu", function, message->dwBufferCount);
    else if (!is_readable(message->lpBuffers, sizeof(WSABUF))) violation("%s: lpBuffers cannot be read", function);
    else if (message->namelen < name || !is_readable(message->name, name))
        violation("%s: namelen is %d", function, message->namelen);
    else if (message->dwFlags) violation("%s: dwFlags is %#lx", function, message->dwFlags);
    else if (message->Control.len && !is_readable(message->Control.buf, message->Control.len))
        violation("%s: Control cannot be read", function);
    else if (!message->Control.len != !message->Control.buf)
        violation("%s: Control has a pointer or a length, not both", function);
    else if ((UINT_PTR)message->Control.buf % 8) violation("%s: Control is not aligned", function);
    else return true;
    return false;
}

static bool has_size(const WSACMSGHDR *header, size_t size)
{
    const BYTE *data = WSA_CMSG_DATA(header);
    if (header->cmsg_len != WSA_CMSG_LEN(size))
        return violation("WSASendMsg: cmsg %d/%d has length %d", header->cmsg_level, header->cmsg_type,
                         (int)header->cmsg_len), false;
    for (size_t i = size; i < WSA_CMSG_SPACE(size) - WSA_CMSG_LEN(0); i++)
        if (data[i]) return violation("WSASendMsg: padding of a cmsg is not zero"), false;
    return true;
}

int read_wish(const WSAMSG *message, int family, struct wish *wish)
{
    size_t used = 0;
    const DWORD bytes = message->lpBuffers[0].len;
    *wish = (struct wish){ 0 };
    if (!message->Control.len) return bytes > MAX_DATAGRAM ? WSAEMSGSIZE : 0;
    for (WSACMSGHDR *header = WSA_CMSG_FIRSTHDR(message); header; header = WSA_CMSG_NXTHDR(message, header)) {
        const void *data = WSA_CMSG_DATA(header);
        if (family == AF_INET && header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            if (wish->has_source || !has_size(header, sizeof(IN_PKTINFO))) return WSAEINVAL;
            const IN_PKTINFO *info = data;
            *wish = (struct wish){ .has_source = true, .source.v4 = info->ipi_addr,
                                   .interface_index = info->ipi_ifindex, .segment = wish->segment };
        } else if (family == AF_INET6 && header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            if (wish->has_source || !has_size(header, sizeof(IN6_PKTINFO))) return WSAEINVAL;
            const IN6_PKTINFO *info = data;
            *wish = (struct wish){ .has_source = true, .source.v6 = info->ipi6_addr,
                                   .interface_index = info->ipi6_ifindex, .segment = wish->segment };
        } else if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_SEND_MSG_SIZE) {
            if (wish->segment || !has_size(header, sizeof(DWORD))) return WSAEINVAL;
            memcpy(&wish->segment, data, sizeof(DWORD));
            if (!wish->segment || wish->segment > MAX_DATAGRAM) return WSAEINVAL;
        } else {
            violation("WSASendMsg: unknown cmsg %d/%d", header->cmsg_level, header->cmsg_type);
            return WSAEINVAL;
        }
        used += WSA_CMSG_SPACE(header->cmsg_len - WSA_CMSG_LEN(0));
    }
    if (used != message->Control.len)
        violation("WSASendMsg: Control has %lu bytes, its messages %d", message->Control.len, (int)used);
    if (wish->segment && !fake_system.segments) violation("WSASendMsg: a train for a system that cuts none");
    if (wish->segment && bytes <= wish->segment) violation("WSASendMsg: a train of one datagram");
    return bytes > MAX_DATAGRAM ? WSAEMSGSIZE : 0;
}

static const char *source_text(const struct wish *wish, int family, char *text)
{
    return wish->has_source ? inet_ntop(family, (void *)&wish->source, text, INET6_ADDRSTRLEN) : NULL;
}

bool is_gone(const struct wish *wish, int family)
{
    char text[INET6_ADDRSTRLEN];
    const char *source = source_text(wish, family, text);
    for (int i = 0; source && i < MAX_GONE; i++) if (!strcmp(gone[i], source)) return true;
    return false;
}

void note_send(const WSAMSG *message, const struct wish *wish, int family)
{
    char text[INET6_ADDRSTRLEN];
    const SOCKADDR_INET *name = (void *)message->name;
    const void *address = family == AF_INET ? (void *)&name->Ipv4.sin_addr : (void *)&name->Ipv6.sin6_addr;
    text_comma(&sends);
    text_append(&sends, "{");
    text_member(&sends, "to", inet_ntop(family, (void *)address, text, sizeof text));
    text_member_integer(&sends, "port", ntohs(name->Ipv4.sin_port));
    text_member(&sends, "source", source_text(wish, family, text));
    text_member_integer(&sends, "interface", wish->interface_index);
    if (wish->segment) text_member_integer(&sends, "segment", wish->segment);
    else text_member(&sends, "segment", NULL);
    text_member_integer(&sends, "bytes", message->lpBuffers[0].len);
    text_append(&sends, "}");
}

void write_sends(struct text *reply)
{
    text_key(reply, "sends");
    text_append(reply, "[%s]", sends.length ? sends.data : "");
    forget_sends();
}

void set_gone(const struct json *request)
{
    int count = 0;
    const struct json *list = json_get(request, "gone");
    memset(gone, 0, sizeof gone);
    for (const struct json *one = list ? list->first : NULL; one && count < MAX_GONE; one = one->next)
        if (one->type == JSON_STRING) strncpy(gone[count++], one->text, INET6_ADDRSTRLEN - 1);
}

void forget_sends(void)
{
    text_free(&sends);
    sends = (struct text){ 0 };
}
