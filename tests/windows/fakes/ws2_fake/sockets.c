/* Sockets, options and sending; see ws2_fake.h. */
#include <stdlib.h>
#include <string.h>
#include "ws2_fake.h"

SOCKET WSAAPI FakeSocketW(int, int, int, WSAPROTOCOL_INFOW *, GROUP, DWORD);
int WSAAPI FakeClose(SOCKET);
int WSAAPI FakeBind(SOCKET, const struct sockaddr *, int);
int WSAAPI FakeSetOption(SOCKET, int, int, const char *, int);
int WSAAPI FakeIoctl(SOCKET, DWORD, void *, DWORD, void *, DWORD, DWORD *, WSAOVERLAPPED *,
                     LPWSAOVERLAPPED_COMPLETION_ROUTINE);
int WSAAPI FakeSendMsg(SOCKET, WSAMSG *, DWORD, DWORD *, WSAOVERLAPPED *, LPWSAOVERLAPPED_COMPLETION_ROUTINE);

struct system fake_system = { true, true, true, true };
LONG64 trains_sent;
static struct udp_socket *sockets;

struct udp_socket *socket_of(SOCKET handle)
{
    struct udp_socket *socket = sockets;
    while (socket && socket->handle != handle) socket = socket->next;
    return socket;
}

SOCKET WSAAPI FakeSocketW(int family, int type, int protocol, WSAPROTOCOL_INFOW *info, GROUP group, DWORD flags)
{
    fake_start();
    SOCKET handle = WSASocketW(family, type, protocol, info, group, flags);
    DWORD error = WSAGetLastError();
    if (type != SOCK_DGRAM || protocol != IPPROTO_UDP) violation("WSASocketW: not UDP");
    if (flags != (WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT)) violation("WSASocketW: flags are %#lx", flags);
    struct udp_socket *socket = handle == INVALID_SOCKET ? NULL : calloc(1, sizeof *socket);
    fake_lock();
    if (socket) {
        *socket = (struct udp_socket){ .handle = handle, .family = family, .next = sockets };
        sockets = socket;
    }
    fake_unlock();
    WSASetLastError(error);
    return handle;
}

int WSAAPI FakeClose(SOCKET handle)
{
    fake_start();
    fake_lock();
    struct udp_socket **link = &sockets;
    while (*link && (*link)->handle != handle) link = &(*link)->next;
    struct udp_socket *socket = *link;
    if (socket) *link = socket->next;
    else violation("closesocket: not a socket that is open");
    free(socket);
    fake_unlock();
    return closesocket(handle);
}

int WSAAPI FakeBind(SOCKET handle, const struct sockaddr *name, int length)
{
    struct call call;
    fake_start();
    call_begin(&call, "bind", &(struct text){ 0 });
    int error = call.skips ? (int)call.code : bind(handle, name, length) ? WSAGetLastError() : 0;
    call_after(&call);
    call_end(&call, "%d", error);
    WSASetLastError(error);
    return error ? SOCKET_ERROR : 0;
}

int WSAAPI FakeSetOption(SOCKET handle, int level, int name, const char *value, int length)
{
    struct call call;
    struct text facts = { 0 };
    DWORD number = 0;
    fake_start();
    if (length != sizeof number) violation("setsockopt: optlen is %d", length);
    else memcpy(&number, value, sizeof number);
    text_member_integer(&facts, "level", level);
    text_member_integer(&facts, "name", name);
    text_member_integer(&facts, "value", number);
    call_begin(&call, "setsockopt", &facts);
    int error = call.skips ? (int)call.code : 0;
    fake_lock();
    struct udp_socket *socket = socket_of(handle);
    if (error || !socket || level != IPPROTO_UDP) {
        if (!error && setsockopt(handle, level, name, value, length)) error = WSAGetLastError();
    } else if (name == UDP_SEND_MSG_SIZE) {
        error = fake_system.segments ? 0 : WSAEINVAL;
    } else if (name == UDP_RECV_MAX_COALESCED_SIZE && fake_system.coalesces) {
        socket->max_train = number;
    } else {
        error = WSAEINVAL;
    }
    fake_unlock();
    call_after(&call);
    call_end(&call, "%d", error);
    WSASetLastError(error);
    return error ? SOCKET_ERROR : 0;
}

int WSAAPI FakeIoctl(SOCKET handle, DWORD code, void *in, DWORD in_bytes, void *out, DWORD out_bytes, DWORD *returned,
                     WSAOVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE completion)
{
    const GUID id = WSAID_WSARECVMSG;
    fake_start();
    if (code != SIO_GET_EXTENSION_FUNCTION_POINTER)
        return WSAIoctl(handle, code, in, in_bytes, out, out_bytes, returned, overlapped, completion);
    if (in_bytes != sizeof id || out_bytes != sizeof(void *) || !is_readable(in, in_bytes) ||
        !is_writable(out, out_bytes) || !is_writable(returned, sizeof *returned) || memcmp(in, &id, sizeof id)) {
        violation("WSAIoctl: not how WSARecvMsg is asked for");
        WSASetLastError(WSAEFAULT);
        return SOCKET_ERROR;
    }
    if (!fake_system.messages) {
        WSASetLastError(WSAEINVAL);
        return SOCKET_ERROR;
    }
    *(void **)out = FakeRecvMsg;
    *returned = sizeof(void *);
    return 0;
}

/* Cuts a train as the system would. Wine leaves sources and sizes unread, so it gets neither. */
static int send_pieces(SOCKET handle, const WSAMSG *message, const struct wish *wish, DWORD *sent)
{
    const WSABUF *whole = message->lpBuffers;
    const DWORD step = wish->segment ? wish->segment : whole->len;
    *sent = 0;
    do {
        DWORD bytes = whole->len - *sent < step ? whole->len - *sent : step;
        if (sendto(handle, whole->buf + *sent, bytes, 0, message->name, message->namelen) < 0)
            return *sent ? 0 : WSAGetLastError();
        *sent += bytes;
    } while (*sent < whole->len);
    if (wish->segment) trains_sent++;
    return 0;
}

int WSAAPI FakeSendMsg(SOCKET handle, WSAMSG *message, DWORD flags, DWORD *sent, WSAOVERLAPPED *overlapped,
                       LPWSAOVERLAPPED_COMPLETION_ROUTINE completion)
{
    struct call call;
    struct wish wish;
    fake_start();
    call_begin(&call, "WSASendMsg", &(struct text){ 0 });
    fake_lock();
    const struct udp_socket *socket = socket_of(handle);
    int error = call.skips ? (int)call.code : socket ? 0 : WSAENOTSOCK;
    if (flags || overlapped || completion) violation("WSASendMsg: neither flags nor overlapped here");
    if (!error && (!check_message("WSASendMsg", message, socket->family) || !is_writable(sent, sizeof *sent)))
        error = WSAEFAULT;
    if (!error && message->name->sa_family != socket->family) error = WSAEFAULT;
    if (!error) error = read_wish(message, socket->family, &wish);
    if (!error && is_gone(&wish, socket->family)) error = WSAEADDRNOTAVAIL;
    if (!error) note_send(message, &wish, socket->family);
    fake_unlock();
    if (!error) error = send_pieces(handle, message, &wish, sent);
    call_after(&call);
    call_end(&call, "%d", error);
    WSASetLastError(error);
    return error ? SOCKET_ERROR : 0;
}

bool fake_request(const char *op, const struct json *request, struct text *reply)
{
    fake_lock();
    bool known = true;
    if (!strcmp(op, "system"))
        fake_system = (struct system){
            json_truth(request, "messages", true), json_truth(request, "segments", true),
            json_truth(request, "coalesces", true), json_truth(request, "marks", true),
        };
    else if (!strcmp(op, "sources")) set_gone(request);
    else if (!strcmp(op, "sends")) write_sends(reply);
    else known = false;
    fake_unlock();
    return known;
}

void fake_counters(struct text *reply)
{
    int open = 0;
    fake_lock();
    for (const struct udp_socket *one = sockets; one; one = one->next) open++;
    fake_unlock();
    text_member_integer(reply, "socketsOpen", open);
    text_member_integer(reply, "trainsSent", trains_sent);
    text_member_integer(reply, "trainsReceived", trains_received);
}

/* Sockets belong to the program; they stay. */
void fake_reset(void)
{
    fake_lock();
    fake_system = (struct system){ true, true, true, true };
    trains_sent = trains_received = 0;
    set_gone(NULL);
    forget_sends();
    fake_unlock();
}
