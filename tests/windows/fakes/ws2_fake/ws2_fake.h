/*
 * ws2_32 as a UDP data path sees it, over Wine's own sockets, with what Wine lacks: a source that is kept, trains cut
 * by UDP_SEND_MSG_SIZE and joined by UDP_RECV_MAX_COALESCED_SIZE, and errors. Every structure and control message is
 * checked: lengths, alignment, padding, kinds, and that a pointer is there when a length is.
 *
 * Requests besides the common ones:
 *
 *   system   {"messages", "segments", "coalesces", "marks"} what this system can do, each true unless said; without
 *            "marks" it joins trains and does not say so
 *   sources  {"gone": ["192.0.2.1"]} addresses that are none of this host's now: sending from them is 10049
 *   sends    {"sends": [{"to", "port", "source", "interface", "segment", "bytes"}]}; source and segment may be null;
 *            and forgets them
 *
 * Of the log: setsockopt, WSASendMsg, WSARecvMsg and bind only. Counters: socketsOpen, trainsSent, trainsReceived.
 */
#ifndef FAKES_WS2_FAKE_H
#define FAKES_WS2_FAKE_H

#include <winsock2.h>
#include <ws2ipdef.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include "../common/fake.h"

#ifndef UDP_SEND_MSG_SIZE
#define UDP_SEND_MSG_SIZE 2
#define UDP_RECV_MAX_COALESCED_SIZE 3
#define UDP_COALESCED_INFO 3
#endif

struct system {
    bool messages, segments, coalesces, marks;
};
extern struct system fake_system;

struct udp_socket {
    SOCKET handle;
    int family;
    DWORD max_train;    /* 0 for none */
    struct udp_socket *next;
};

/* Not known to the fake when it is no UDP socket of the program. */
struct udp_socket *socket_of(SOCKET handle);

/* What control data asks for. */
struct wish {
    bool has_source;
    union { IN_ADDR v4; IN6_ADDR v6; } source;
    ULONG interface_index;
    DWORD segment;      /* 0 for none */
};

/* Reads control data of a message to send; 0, or the error. */
int read_wish(const WSAMSG *message, int family, struct wish *wish);
/* The same structure rules for both ways. */
bool check_message(const char *function, const WSAMSG *message, int family);
/* Keeps what was sent for the test, and tells whether the source may be used. */
void note_send(const WSAMSG *message, const struct wish *wish, int family);
bool is_gone(const struct wish *wish, int family);
void write_sends(struct text *reply);
void set_gone(const struct json *request);
void forget_sends(void);

int WSAAPI FakeRecvMsg(SOCKET, WSAMSG *, DWORD *, WSAOVERLAPPED *, LPWSAOVERLAPPED_COMPLETION_ROUTINE);
extern LONG64 trains_sent, trains_received;

#endif
