/* Adapters of the fake wintun.dll; see wintun.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "wintun.h"

typedef void(CALLBACK *LOGGER)(int level, DWORD64 time, const WCHAR *message);

EXPORT HANDLE WINAPI WintunCreateAdapter(const WCHAR *name, const WCHAR *tunnel_type, const GUID *guid);
EXPORT HANDLE WINAPI WintunOpenAdapter(const WCHAR *name);
EXPORT void WINAPI WintunCloseAdapter(HANDLE adapter);
EXPORT BOOL WINAPI WintunDeleteDriver(void);
EXPORT void WINAPI WintunGetAdapterLUID(HANDLE adapter, ULONG64 *luid);
EXPORT DWORD WINAPI WintunGetRunningDriverVersion(void);
EXPORT void WINAPI WintunSetLogger(LOGGER logger);

#define DRIVER_VERSION 0x0000000Eu /* 0.14 */
#define IF_TYPE_PROP_VIRTUAL 53

struct adapter *adapters;
/* What the program holds: one per create or open, pointing at the device. */
struct handle {
    struct adapter *adapter;
    bool created, open;
    struct handle *next;
};
static struct handle *handles;
static unsigned next_index = 1;
static LOGGER logger;

struct adapter *adapter_named(const char *name)
{
    struct adapter *found = NULL;
    for (struct adapter *one = adapters; one; one = one->next) {
        if (!one->open || (name && strcmp(one->name, name))) continue;
        if (found) return NULL;
        found = one;
    }
    return found;
}

/* Tells the fake of iphlpapi, if it is there, that an interface has come or gone. */
static void announce(const struct adapter *adapter, bool present)
{
    struct text request = { 0 };
    text_append(&request, "{\"op\":\"interface\",\"present\":%s", present ? "true" : "false");
    text_append(&request, ",\"luid\":\"%llu\"", (unsigned long long)adapter->luid);
    text_member(&request, "alias", adapter->name);
    text_append(&request, "}");
    ask_fake("CreateUnicastIpAddressEntry", request.data);
    text_free(&request);
}

/* Levels of WINTUN_LOGGER_LEVEL. */
enum { LOG_INFO = 0, LOG_ERR = 2 };

static void log_line(int level, const WCHAR *message)
{
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    if (logger) logger(level, (DWORD64)now.dwHighDateTime << 32 | now.dwLowDateTime, message);
}

/* The last error of another thread is nobody's to read: the log is where a caller learns of it. */
static void log_failure(DWORD error)
{
    WCHAR line[64];
    swprintf(line, sizeof line / sizeof *line, L"Failed to create adapter (Code 0x%08lX)", error);
    log_line(LOG_ERR, line);
}

static struct handle *new_handle(struct adapter *adapter, bool created)
{
    struct handle *handle = calloc(1, sizeof *handle);
    if (!handle) abort();
    *handle = (struct handle){ .adapter = adapter, .created = created, .open = true, .next = handles };
    handles = handle;
    return handle;
}

static struct handle *find(const char *function, HANDLE value)
{
    struct handle *handle = handles;
    while (handle && handle != value) handle = handle->next;
    if (handle && handle->open) return handle;
    violation("%s: %s", function, handle ? "the adapter was closed before" : "no adapter");
    return NULL;
}

struct adapter *adapter_of(const char *function, HANDLE value)
{
    struct handle *handle = find(function, value);
    return handle ? handle->adapter : NULL;
}

/* Wintun renames whatever has the wanted name, so that the new one gets it. */
static void make_way(const char *name)
{
    struct adapter *other = adapter_named(name);
    if (!other) return;
    char *renamed = text_of("%s 1", name);
    free(other->name);
    other->name = renamed;
}

static struct adapter *new_adapter(char *name, char *tunnel_type, const GUID *guid)
{
    struct adapter *adapter = calloc(1, sizeof *adapter);
    if (!adapter) abort();
    make_way(name);
    adapter->name = name;
    adapter->tunnel_type = tunnel_type;
    adapter->luid = (ULONG64)IF_TYPE_PROP_VIRTUAL << 48 | (ULONG64)next_index++ << 24;
    if (guid) adapter->guid = *guid;
    else adapter->guid.Data1 = (ULONG)GetTickCount();
    adapter->open = true;
    adapter->next = adapters;
    adapters = adapter;
    return adapter;
}

static bool is_guid_taken(const GUID *guid)
{
    for (const struct adapter *one = adapters; one; one = one->next)
        if (one->open && guid && IsEqualGUID(&one->guid, guid)) return true;
    return false;
}

static DWORD check_create(const char *name, const char *tunnel_type, const GUID *guid)
{
    if (!name || !*name || strlen(name) > MAX_NAME || !tunnel_type || !*tunnel_type ||
        strlen(tunnel_type) > MAX_NAME) return ERROR_INVALID_PARAMETER;
    if (guid && !is_readable(guid, sizeof *guid)) {
        violation("WintunCreateAdapter: RequestedGUID cannot be read");
        return ERROR_INVALID_PARAMETER;
    }
    return is_guid_taken(guid) ? ERROR_ALREADY_EXISTS : 0;
}

HANDLE WINAPI WintunCreateAdapter(const WCHAR *wide_name, const WCHAR *wide_type, const GUID *guid)
{
    struct call call;
    struct text facts = { 0 };
    struct handle *handle = NULL;
    fake_start();
    char *name = read_wide("WintunCreateAdapter", "Name", wide_name);
    char *type = read_wide("WintunCreateAdapter", "TunnelType", wide_type);
    text_member(&facts, "name", name);
    text_member(&facts, "tunnelType", type);
    call_begin(&call, "WintunCreateAdapter", &facts);
    fake_lock();
    DWORD error = call.skips ? (DWORD)call.code : check_create(name, type, guid);
    if (!error) {
        handle = new_handle(new_adapter(name, type, guid), true);
        announce(handle->adapter, true);
    } else {
        free(name);
        free(type);
    }
    fake_unlock();
    if (handle) log_line(LOG_INFO, L"Creating adapter");
    else log_failure(error);
    call_after(&call);
    call_end(&call, "%lu", error);
    SetLastError(error);
    return handle;
}

HANDLE WINAPI WintunOpenAdapter(const WCHAR *wide_name)
{
    struct call call;
    struct text facts = { 0 };
    fake_start();
    char *name = read_wide("WintunOpenAdapter", "Name", wide_name);
    text_member(&facts, "name", name);
    call_begin(&call, "WintunOpenAdapter", &facts);
    fake_lock();
    struct adapter *adapter = name ? adapter_named(name) : NULL;
    struct handle *handle = adapter && !call.skips ? new_handle(adapter, false) : NULL;
    fake_unlock();
    DWORD error = handle ? 0 : call.skips ? (DWORD)call.code : ERROR_NOT_FOUND;
    free(name);
    call_after(&call);
    call_end(&call, "%lu", error);
    SetLastError(error);
    return handle;
}

void vanish(struct adapter *adapter)
{
    adapter->gone = true;
    adapter->open = false;
    announce(adapter, false);
    if (adapter->session) SetEvent(adapter->session->event);
}

void WINAPI WintunCloseAdapter(HANDLE value)
{
    struct call call;
    struct text facts = { 0 };
    fake_start();
    call_begin(&call, "WintunCloseAdapter", &facts);
    fake_lock();
    struct handle *handle = find("WintunCloseAdapter", value);
    if (handle) {
        handle->open = false;
        if (handle->created && handle->adapter->session)
            violation("WintunCloseAdapter: its session has not been ended");
        if (handle->created && !handle->adapter->gone) vanish(handle->adapter);
    }
    fake_unlock();
    call_after(&call);
    call_end(&call, handle ? "0" : "6");
    if (handle) log_line(LOG_INFO, L"Removing adapter");
}

BOOL WINAPI WintunDeleteDriver(void)
{
    bool used = false;
    fake_start();
    fake_lock();
    for (const struct adapter *one = adapters; one; one = one->next) used |= one->open;
    fake_unlock();
    SetLastError(used ? ERROR_BUSY : 0);
    return !used;
}

void WINAPI WintunGetAdapterLUID(HANDLE value, ULONG64 *luid)
{
    fake_start();
    fake_lock();
    struct handle *handle = find("WintunGetAdapterLUID", value);
    if (!is_writable(luid, sizeof *luid)) violation("WintunGetAdapterLUID: Luid cannot be written");
    else if (handle) *luid = handle->adapter->luid;
    fake_unlock();
}

DWORD WINAPI WintunGetRunningDriverVersion(void)
{
    bool used = false;
    fake_start();
    fake_lock();
    for (const struct adapter *one = adapters; one; one = one->next) used |= one->open;
    fake_unlock();
    SetLastError(used ? 0 : ERROR_FILE_NOT_FOUND);
    return used ? DRIVER_VERSION : 0;
}

void WINAPI WintunSetLogger(LOGGER wanted)
{
    fake_start();
    logger = wanted;
}

/* Handles stay known as closed; devices and sessions stay in memory, out of the list. */
void forget_adapters(void)
{
    for (struct handle *one = handles; one; one = one->next) one->open = false;
    for (struct adapter *one = adapters; one; one = one->next)
        if (one->open) vanish(one);
    adapters = NULL;
    next_index = 1;
    logger = NULL;
}

void write_adapter_counters(struct text *out)
{
    int open = 0;
    for (const struct handle *one = handles; one; one = one->next) open += one->open;
    text_member_integer(out, "adaptersOpen", open);
}
