/*
 * Who wants to be told of changes, and telling them: on a thread of this library, one after the other, some time
 * after the change. See iphlpapi_fake.h.
 */
#include <stdlib.h>
#include "iphlpapi_fake.h"

/* One of the three functions' callbacks; they differ in the type of the row only. */
typedef void(WINAPI *teller)(void *context, void *row, MIB_NOTIFICATION_TYPE type);

struct notification {
    enum change kind;
    ADDRESS_FAMILY family;
    teller callback;
    void *context;
    bool open;
    struct notification *next;
};

union row {
    MIB_UNICASTIPADDRESS_ROW address;
    MIB_IPFORWARD_ROW2 route;
    MIB_IPINTERFACE_ROW on;
};

struct event {
    enum change kind;
    ADDRESS_FAMILY family;
    MIB_NOTIFICATION_TYPE type;
    union row row;
    struct event *next;
};

/* Guards what stands below; a leaf: nothing is asked for under it. */
static SRWLOCK lock = SRWLOCK_INIT;
static CONDITION_VARIABLE changed;
static struct notification *notifications, *running;
static struct event *first, **last = &first;
static DWORD telling_thread;
static int told;

static union row row_of(enum change kind, ADDRESS_FAMILY family, const struct nic *on)
{
    union row row = { 0 };
    NET_LUID luid = { .Value = on->luid };
    if (kind == CHANGED_INTERFACE) {
        row.on.Family = family;
        row.on.InterfaceLuid = luid;
        row.on.InterfaceIndex = on->index;
    } else if (kind == CHANGED_ADDRESS) {
        row.address.Address.si_family = family;
        row.address.InterfaceLuid = luid;
        row.address.InterfaceIndex = on->index;
    } else {
        row.route.DestinationPrefix.Prefix.si_family = row.route.NextHop.si_family = family;
        row.route.InterfaceLuid = luid;
        row.route.InterfaceIndex = on->index;
    }
    return row;
}

void notify(enum change kind, ADDRESS_FAMILY family, const struct nic *on, MIB_NOTIFICATION_TYPE type)
{
    struct event *event = calloc(1, sizeof *event);
    if (!event) abort();
    *event = (struct event){ .kind = kind, .family = family, .type = type, .row = row_of(kind, family, on) };
    AcquireSRWLockExclusive(&lock);
    if (!telling_thread) {
        ReleaseSRWLockExclusive(&lock);
        free(event);
        return;
    }
    *last = event;
    last = &event->next;
    WakeAllConditionVariable(&changed);
    ReleaseSRWLockExclusive(&lock);
}

static bool concerns(const struct notification *one, const struct event *event)
{
    return one->open && one->kind == event->kind && (one->family == AF_UNSPEC || one->family == event->family);
}

static __attribute__((noreturn)) DWORD WINAPI tell(void *unused)
{
    (void)unused;
    AcquireSRWLockExclusive(&lock);
    for (;;) {
        while (!first) SleepConditionVariableSRW(&changed, &lock, INFINITE, 0);
        struct event *event = first;
        first = event->next;
        if (!first) last = &first;
        for (struct notification *one = notifications; one; one = one->next) {
            if (!concerns(one, event)) continue;
            running = one;
            told++;
            ReleaseSRWLockExclusive(&lock);
            union row row = event->row;
            one->callback(one->context, &row, event->type);
            AcquireSRWLockExclusive(&lock);
            running = NULL;
            WakeAllConditionVariable(&changed);
        }
        free(event);
    }
}

static DWORD begin(enum change kind, ADDRESS_FAMILY family, struct notification wanted, HANDLE *out)
{
    struct notification *one = calloc(1, sizeof *one);
    if (!one) abort();
    *one = wanted;
    one->kind = kind;
    one->family = family;
    one->open = true;
    AcquireSRWLockExclusive(&lock);
    one->next = notifications;
    notifications = one;
    if (!telling_thread) {
        HANDLE thread = CreateThread(NULL, 0, tell, NULL, 0, &telling_thread);
        if (thread) CloseHandle(thread);
    }
    ReleaseSRWLockExclusive(&lock);
    *out = one;
    return NO_ERROR;
}

static DWORD want(const char *function, enum change kind, ADDRESS_FAMILY family, struct notification wanted,
                  BOOLEAN initial, HANDLE *out)
{
    struct call call;
    struct text facts = { 0 };
    stack_start();
    call_begin(&call, function, &facts);
    DWORD code = call.skips ? (DWORD)call.code : ERROR_INVALID_PARAMETER;
    bool good = is_readable((void *)wanted.callback, 1) && check_out(function, "NotificationHandle", out, sizeof *out);
    if (!call.skips && good && (family == AF_UNSPEC || family_number(family) >= 0))
        code = begin(kind, family, wanted, out);
    if (!code && initial) wanted.callback(wanted.context, NULL, MibInitialNotification);
    call_after(&call);
    call_end(&call, "%lu", code);
    return code;
}

EXPORT NETIO_STATUS WINAPI NotifyUnicastIpAddressChange(ADDRESS_FAMILY family,
                                                        PUNICAST_IPADDRESS_CHANGE_CALLBACK callback, PVOID context,
                                                        BOOLEAN initial, HANDLE *handle)
{
    struct notification wanted = { .callback = (teller)(void *)callback, .context = context };
    return want("NotifyUnicastIpAddressChange", CHANGED_ADDRESS, family, wanted, initial, handle);
}

EXPORT NETIO_STATUS WINAPI NotifyRouteChange2(ADDRESS_FAMILY family, PIPFORWARD_CHANGE_CALLBACK callback,
                                              PVOID context, BOOLEAN initial, HANDLE *handle)
{
    struct notification wanted = { .callback = (teller)(void *)callback, .context = context };
    return want("NotifyRouteChange2", CHANGED_ROUTE, family, wanted, initial, handle);
}

EXPORT NETIO_STATUS WINAPI NotifyIpInterfaceChange(ADDRESS_FAMILY family, PIPINTERFACE_CHANGE_CALLBACK callback,
                                                   PVOID context, BOOLEAN initial, HANDLE *handle)
{
    struct notification wanted = { .callback = (teller)(void *)callback, .context = context };
    return want("NotifyIpInterfaceChange", CHANGED_INTERFACE, family, wanted, initial, handle);
}

/* Waits for a callback that runs, as Windows does: whoever is called back must not cancel. */
EXPORT NETIO_STATUS WINAPI CancelMibChangeNotify2(HANDLE handle)
{
    struct call call;
    struct text facts = { 0 };
    fake_start();
    call_begin(&call, "CancelMibChangeNotify2", &facts);
    AcquireSRWLockExclusive(&lock);
    struct notification *one = notifications;
    while (one && one != handle) one = one->next;
    bool good = one && one->open;
    if (good) one->open = false;
    if (GetCurrentThreadId() == telling_thread) violation("CancelMibChangeNotify2: called by a callback");
    else while (good && running == one) SleepConditionVariableSRW(&changed, &lock, INFINITE, 0);
    ReleaseSRWLockExclusive(&lock);
    if (!good) violation("CancelMibChangeNotify2: %s", one ? "cancelled before" : "no notification");
    call_end(&call, good ? "0" : "87");
    return good ? NO_ERROR : ERROR_INVALID_PARAMETER;
}

void write_notification_counters(struct text *out)
{
    int open = 0;
    AcquireSRWLockShared(&lock);
    for (const struct notification *one = notifications; one; one = one->next) open += one->open;
    text_member_integer(out, "notificationsOpen", open);
    text_member_integer(out, "told", told);
    ReleaseSRWLockShared(&lock);
}

/* They stay known, as cancelled. */
void forget_notifications(void)
{
    AcquireSRWLockExclusive(&lock);
    for (struct notification *one = notifications; one; one = one->next) one->open = false;
    while (running) SleepConditionVariableSRW(&changed, &lock, INFINITE, 0);
    told = 0;
    ReleaseSRWLockExclusive(&lock);
}
