/*
 * A fake wintun.dll: adapters, sessions and their two rings, without a driver. Semantics as wintun.h and Wintun's
 * own api/session.c and api/adapter.c have them: order, ring space, last errors, ownership of packets.
 *
 * Requests besides those of fake.h; `adapter` is a name, or absent when there is one adapter only:
 *
 *   adapters      {"adapters": [{"name", "tunnelType", "guid", "luid", "session", "capacity"}]}
 *   inject        {"adapter", "packets": ["45.."]}: hex, from the operating system to the program
 *                 {"queued", "dropped"}: what does not fit in the ring is dropped, as the driver does
 *   take          {"adapter"}: {"packets": [..]}: what the program has sent, in order, since the last time
 *   stall         {"on"}: the driver takes no packets from the program, whose ring so fills up
 *   discard       {"on"}: what is sent is counted and thrown away
 *   vanish        {"adapter"}: the device is removed; its calls answer 38 and the event is set
 *   receiveError  {"code", "times"}: the next receives give NULL with that last error
 *   allocateError {"code", "times"}: likewise for allocations
 *
 * The packet functions are too many to log; their numbers are among the counters. For speed there are
 *
 *   BOOL FakeInject(const BYTE *packet, DWORD size)    into the only session; FALSE = dropped
 *   DWORD FakeTake(BYTE *packet, DWORD room)           the next sent packet; 0 = none
 *
 * An adapter is announced to the fake of iphlpapi when that is loaded, and taken back when it goes.
 */
#ifndef FAKES_WINTUN_H
#define FAKES_WINTUN_H

#include "../common/fake.h"

#define MIN_CAPACITY 0x20000u
#define MAX_CAPACITY 0x4000000u
#define MAX_PACKET 0xFFFFu
#define MAX_NAME 127

enum packet_state { PACKET_QUEUED, PACKET_HELD, PACKET_DONE };

/* A packet in a ring; the program's pointer is to `data`. */
struct packet {
    struct packet *next;
    DWORD size;
    enum packet_state state;
    BYTE data[];
};

/* Packets in order, with the space they take: freed at the front only. */
struct ring {
    struct packet *first, *last;
    DWORD used;
};

struct session {
    struct adapter *adapter;
    DWORD capacity;
    bool open;
    HANDLE event;
    bool alertable;              /* the program has found the ring empty */
    struct ring receive, send;   /* as the program sees them */
    struct session *next;
};

struct adapter {
    char *name, *tunnel_type;
    GUID guid;
    ULONG64 luid;
    bool open, gone;
    struct session *session;
    struct adapter *next;
};

/* adapter.c */
extern struct adapter *adapters;
/* The adapter behind a handle of the program; otherwise NULL, with a violation. */
struct adapter *adapter_of(const char *function, HANDLE value);
void write_adapter_counters(struct text *out);
/* The adapter of that name; of no name, the only one there is. */
struct adapter *adapter_named(const char *name);
void forget_adapters(void);
void vanish(struct adapter *adapter);

/* session.c; all inside fake_lock. */
void free_sessions(void);
/* The driver's part: takes what is complete at the front. */
void drain(struct session *session);
bool inject(struct session *session, const BYTE *packet, DWORD size);
void write_packet_counters(struct text *out);
extern bool stalled, discarding;
extern DWORD receive_error, allocate_error;
extern int receive_errors, allocate_errors;
/* What the program has sent, oldest first. */
extern struct ring sent;
struct packet *pop(struct ring *ring);

#endif
