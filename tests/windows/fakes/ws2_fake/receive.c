/* Receipts, joined where the program wants them so; see ws2_fake.h. */
#include <stdlib.h>
#include <string.h>
#include "ws2_fake.h"

LONG64 trains_received;

static LPFN_WSARECVMSG real_receive(SOCKET handle)
{
    static LPFN_WSARECVMSG found;
    GUID id = WSAID_WSARECVMSG;
    DWORD bytes;
    if (!found && WSAIoctl(handle, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &found, sizeof found, &bytes,
                           NULL, NULL)) abort();
    return found;
}

/* Adds datagrams of the same source and size behind the first one; the last may be shorter. */
static DWORD join(const struct udp_socket *socket, const WSAMSG *message, DWORD bytes)
{
    static char next[65536];
    const DWORD size = bytes;
    while (bytes + size <= message->lpBuffers[0].len && bytes + size <= socket->max_train) {
        SOCKADDR_INET from;
        int length = sizeof from;
        int count = recvfrom(socket->handle, next, sizeof next, MSG_PEEK, (void *)&from, &length);
        if (count <= 0 || (DWORD)count > size || length != message->namelen) break;
        if (memcmp(&from, message->name, length)) break;
        recvfrom(socket->handle, message->lpBuffers[0].buf + bytes, count, 0, NULL, NULL);
        bytes += count;
        if ((DWORD)count < size) break;
    }
    return bytes;
}

static void mark(WSAMSG *message, ULONG room, DWORD size)
{
    const ULONG space = WSA_CMSG_SPACE(sizeof size);
    if (message->Control.len + space > room) {
        message->dwFlags |= MSG_CTRUNC;
        violation("WSARecvMsg: no room for UDP_COALESCED_INFO");
        return;
    }
    WSACMSGHDR *header = (void *)(message->Control.buf + message->Control.len);
    memset(header, 0, space);
    *header = (WSACMSGHDR){ .cmsg_len = WSA_CMSG_LEN(sizeof size), .cmsg_level = IPPROTO_UDP,
                            .cmsg_type = UDP_COALESCED_INFO };
    memcpy(WSA_CMSG_DATA(header), &size, sizeof size);
    message->Control.len += space;
}

static int receive(const struct udp_socket *socket, WSAMSG *message, DWORD *bytes)
{
    const ULONG room = message->Control.len;
    if (real_receive(socket->handle)(socket->handle, message, bytes, NULL, NULL)) return WSAGetLastError();
    const DWORD size = *bytes;
    if (!size || !socket->max_train) return 0;
    *bytes = join(socket, message, size);
    if (*bytes == size) return 0;
    trains_received++;
    if (fake_system.marks) mark(message, room, size);
    return 0;
}

int WSAAPI FakeRecvMsg(SOCKET handle, WSAMSG *message, DWORD *bytes, WSAOVERLAPPED *overlapped,
                       LPWSAOVERLAPPED_COMPLETION_ROUTINE completion)
{
    struct call call;
    fake_start();
    call_begin(&call, "WSARecvMsg", &(struct text){ 0 });
    fake_lock();
    const struct udp_socket *socket = socket_of(handle);
    int error = call.skips ? (int)call.code : socket ? 0 : WSAENOTSOCK;
    if (overlapped || completion) violation("WSARecvMsg: not overlapped here");
    if (!error && (!check_message("WSARecvMsg", message, socket->family) || !is_writable(bytes, sizeof *bytes)))
        error = WSAEFAULT;
    if (!error) error = receive(socket, message, bytes);
    fake_unlock();
    call_after(&call);
    call_end(&call, "%d", error);
    SetLastError(error);
    return error ? SOCKET_ERROR : 0;
}
