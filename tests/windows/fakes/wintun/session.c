/* Sessions and rings of the fake wintun.dll; see wintun.h. */
#include <stdlib.h>
#include <string.h>
#include "wintun.h"

EXPORT HANDLE WINAPI WintunStartSession(HANDLE adapter, DWORD capacity);
EXPORT void WINAPI WintunEndSession(HANDLE session);
EXPORT HANDLE WINAPI WintunGetReadWaitEvent(HANDLE session);
EXPORT BYTE *WINAPI WintunReceivePacket(HANDLE session, DWORD *size);
EXPORT void WINAPI WintunReleaseReceivePacket(HANDLE session, const BYTE *packet);
EXPORT BYTE *WINAPI WintunAllocateSendPacket(HANDLE session, DWORD size);
EXPORT void WINAPI WintunSendPacket(HANDLE session, const BYTE *packet);


bool stalled, discarding;
DWORD receive_error, allocate_error;
int receive_errors, allocate_errors;
struct ring sent;

static struct session *sessions;
static LONG64 asked, received, released, allocated, sends, injected, dropped;

/* A packet takes its length and itself, in steps of 4 bytes. */
static DWORD space(DWORD size)
{
    return (sizeof(DWORD) + size + 3) & ~3u;
}

static struct packet *push(struct ring *ring, const BYTE *data, DWORD size, enum packet_state state)
{
    struct packet *packet = calloc(1, sizeof *packet + size);
    if (!packet) abort();
    packet->size = size;
    packet->state = state;
    if (data) memcpy(packet->data, data, size);
    if (ring->last) ring->last->next = packet;
    else ring->first = packet;
    ring->last = packet;
    ring->used += space(size);
    return packet;
}

struct packet *pop(struct ring *ring)
{
    struct packet *packet = ring->first;
    if (!packet) return NULL;
    ring->first = packet->next;
    if (!ring->first) ring->last = NULL;
    ring->used -= space(packet->size);
    return packet;
}

static void empty(struct ring *ring)
{
    for (struct packet *packet = pop(ring); packet; packet = pop(ring)) free(packet);
}

static struct packet *held(struct ring *ring, const BYTE *data)
{
    for (struct packet *packet = ring->first; packet; packet = packet->next)
        if (packet->data == data && packet->state == PACKET_HELD) return packet;
    return NULL;
}

static int count_held(const struct ring *ring)
{
    int count = 0;
    for (const struct packet *packet = ring->first; packet; packet = packet->next)
        count += packet->state == PACKET_HELD;
    return count;
}

static struct session *find(const char *function, HANDLE value)
{
    struct session *session = sessions;
    while (session && session != value) session = session->next;
    if (session && session->open) return session;
    violation("%s: %s", function, session ? "the session was ended before" : "no session");
    SetLastError(ERROR_INVALID_HANDLE);
    return NULL;
}

HANDLE WINAPI WintunStartSession(HANDLE value, DWORD capacity)
{
    struct call call;
    struct text facts = { 0 };
    struct session *session = NULL;
    fake_start();
    text_member_integer(&facts, "capacity", capacity);
    call_begin(&call, "WintunStartSession", &facts);
    fake_lock();
    struct adapter *adapter = adapter_of("WintunStartSession", value);
    DWORD error = call.skips ? (DWORD)call.code : 0;
    if (!error && !adapter) error = ERROR_INVALID_HANDLE;
    else if (!error && (capacity < MIN_CAPACITY || capacity > MAX_CAPACITY || capacity & (capacity - 1)))
        error = ERROR_INVALID_PARAMETER;
    else if (!error && adapter->gone) error = ERROR_HANDLE_EOF;
    else if (!error && adapter->session) error = ERROR_ALREADY_INITIALIZED;
    if (!error) {
        session = calloc(1, sizeof *session);
        if (!session) abort();
        *session = (struct session){ .adapter = adapter, .capacity = capacity, .open = true, .alertable = true,
                                     .event = CreateEventW(NULL, FALSE, FALSE, NULL), .next = sessions };
        sessions = adapter->session = session;
    }
    fake_unlock();
    call_after(&call);
    call_end(&call, "%lu", error);
    SetLastError(error);
    return session;
}

/* Complains about what the program still had of the session. */
static void check_end(const struct session *session)
{
    int reading = count_held(&session->receive), writing = count_held(&session->send);
    if (reading) violation("WintunEndSession: %d received packets are held", reading);
    if (writing) violation("WintunEndSession: %d allocated packets were not sent", writing);
    if (WaitForSingleObject(session->event, 0) == WAIT_FAILED)
        violation("WintunEndSession: its event was closed by the program");
}

static void end(struct session *session)
{
    session->open = false;
    session->adapter->session = NULL;
    CloseHandle(session->event);
    empty(&session->receive);
    empty(&session->send);
}

void WINAPI WintunEndSession(HANDLE value)
{
    struct call call;
    struct text facts = { 0 };
    fake_start();
    call_begin(&call, "WintunEndSession", &facts);
    fake_lock();
    struct session *session = find("WintunEndSession", value);
    if (session) {
        check_end(session);
        end(session);
    }
    fake_unlock();
    call_after(&call);
    call_end(&call, session ? "0" : "6");
}

HANDLE WINAPI WintunGetReadWaitEvent(HANDLE value)
{
    fake_start();
    fake_lock();
    struct session *session = find("WintunGetReadWaitEvent", value);
    fake_unlock();
    return session ? session->event : NULL;
}

static DWORD receive(struct session *session, struct packet **out)
{
    if (receive_errors > 0 && receive_errors--) return receive_error;
    if (session->adapter->gone) return ERROR_HANDLE_EOF;
    struct packet *packet = session->receive.first;
    while (packet && packet->state != PACKET_QUEUED) packet = packet->next;
    session->alertable |= !packet;
    if (!packet) return ERROR_NO_MORE_ITEMS;
    packet->state = PACKET_HELD;
    *out = packet;
    return 0;
}

BYTE *WINAPI WintunReceivePacket(HANDLE value, DWORD *size)
{
    struct packet *packet = NULL;
    fake_start();
    fake_lock();
    asked++;
    struct session *session = find("WintunReceivePacket", value);
    DWORD error = ERROR_INVALID_HANDLE;
    /* Asking about pages is slow, and a reader uses one place for all its packets. */
    static DWORD *writable;
    if (size != writable && is_writable(size, sizeof *size)) writable = size;
    if (session && size != writable) violation("WintunReceivePacket: PacketSize cannot be written");
    else if (session) error = receive(session, &packet);
    if (packet) {
        *size = packet->size;
        received++;
    }
    fake_unlock();
    SetLastError(error);
    return packet ? packet->data : NULL;
}

void WINAPI WintunReleaseReceivePacket(HANDLE value, const BYTE *data)
{
    fake_start();
    fake_lock();
    struct session *session = find("WintunReleaseReceivePacket", value);
    struct packet *packet = session ? held(&session->receive, data) : NULL;
    if (packet) {
        packet->state = PACKET_DONE;
        memset(packet->data, 0xDD, packet->size);
        released++;
        while (session->receive.first && session->receive.first->state == PACKET_DONE) free(pop(&session->receive));
    } else if (session) violation("WintunReleaseReceivePacket: no packet that is held");
    fake_unlock();
}

BYTE *WINAPI WintunAllocateSendPacket(HANDLE value, DWORD size)
{
    struct packet *packet = NULL;
    fake_start();
    fake_lock();
    struct session *session = find("WintunAllocateSendPacket", value);
    DWORD error = 0;
    if (!session) error = ERROR_INVALID_HANDLE;
    else if (size == 0 || size > MAX_PACKET) {
        violation("WintunAllocateSendPacket: of %lu bytes", size);
        error = ERROR_INVALID_PARAMETER;
    } else if (allocate_errors > 0 && allocate_errors--) error = allocate_error;
    else if (session->adapter->gone) error = ERROR_HANDLE_EOF;
    else if (session->send.used + space(size) >= session->capacity) error = ERROR_BUFFER_OVERFLOW;
    else {
        packet = push(&session->send, NULL, size, PACKET_HELD);
        memset(packet->data, 0xCD, size);
        allocated++;
    }
    fake_unlock();
    SetLastError(error);
    return packet ? packet->data : NULL;
}

void drain(struct session *session)
{
    while (!stalled && session->send.first && session->send.first->state == PACKET_DONE) {
        struct packet *packet = pop(&session->send);
        BYTE version = packet->data[0] >> 4;
        if (version != 4 && version != 6) violation("WintunSendPacket: no IPv4 or IPv6 packet");
        if (!discarding) push(&sent, packet->data, packet->size, PACKET_DONE);
        free(packet);
    }
}

void WINAPI WintunSendPacket(HANDLE value, const BYTE *data)
{
    fake_start();
    fake_lock();
    struct session *session = find("WintunSendPacket", value);
    struct packet *packet = session ? held(&session->send, data) : NULL;
    if (packet) {
        packet->state = PACKET_DONE;
        sends++;
        drain(session);
    } else if (session) violation("WintunSendPacket: no packet that was allocated");
    fake_unlock();
}

bool inject(struct session *session, const BYTE *packet, DWORD size)
{
    if (session->receive.used + space(size) >= session->capacity) {
        dropped++;
        return false;
    }
    push(&session->receive, packet, size, PACKET_QUEUED);
    injected++;
    if (session->alertable) SetEvent(session->event);
    session->alertable = false;
    return true;
}

void free_sessions(void)
{
    for (struct session *one = sessions; one; one = one->next)
        if (one->open) end(one);
    empty(&sent);
    asked = received = released = allocated = sends = injected = dropped = 0;
    receive_errors = allocate_errors = 0;
    stalled = discarding = false;
}

void write_packet_counters(struct text *out)
{
    int open = 0, kept = 0;
    for (const struct session *one = sessions; one; one = one->next) {
        open += one->open;
        kept += count_held(&one->receive) + count_held(&one->send);
    }
    text_member_integer(out, "sessionsOpen", open);
    text_member_integer(out, "packetsKept", kept);
    text_member_integer(out, "asked", asked);
    text_member_integer(out, "received", received);
    text_member_integer(out, "released", released);
    text_member_integer(out, "allocated", allocated);
    text_member_integer(out, "sent", sends);
    text_member_integer(out, "injected", injected);
    text_member_integer(out, "dropped", dropped);
}
