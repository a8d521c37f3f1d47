/* The installer's side of the fake SCM: the database of services; see scm_fake.h. */
#include <stdlib.h>
#include <string.h>
#include "scm_fake.h"

struct service {
    char *name, *display_name, *path, *account, *dependencies, *description;
    DWORD type, start, error_control, state, restarts, preshutdown_ms;
    bool delayed, doomed;
    int handles;
    struct service *next;
};

/* A handle to the manager (service NULL) or to a service. */
struct handle {
    struct service *service;
    DWORD access;
    bool open;
    struct handle *next;
};

static struct service *services;
static struct handle *handles;

static struct service *find_service(const char *name)
{
    struct service *one = services;
    while (one && (!name || _stricmp(one->name, name))) one = one->next;
    return one;
}

static struct handle *new_handle(struct service *service, DWORD access)
{
    struct handle *handle = calloc(1, sizeof *handle);
    if (!handle) abort();
    *handle = (struct handle){ .service = service, .access = access, .open = true, .next = handles };
    if (service) service->handles++;
    return handles = handle;
}

/* The open handle with those rights; otherwise NULL, with the code. */
static struct handle *check(const char *function, SC_HANDLE value, bool of_service, DWORD access, DWORD *error)
{
    struct handle *handle = handles;
    while (handle && (void *)handle != (void *)value) handle = handle->next;
    *error = ERROR_INVALID_HANDLE;
    if (!handle || !handle->open || !handle->service == of_service) {
        violation("%s: bad handle", function);
        return NULL;
    }
    *error = (handle->access & access) == access ? 0 : ERROR_ACCESS_DENIED;
    return *error ? NULL : handle;
}

static void drop_if_doomed(struct service *service)
{
    struct service **link = &services;
    if (!service->doomed || service->handles || service->state != SERVICE_STOPPED) return;
    while (*link != service) link = &(*link)->next;
    *link = service->next;
}

/* Frame of the logged functions: begin() before the work, end() with its code. */
static void begin(struct call *call, const char *function, const char *name)
{
    struct text facts = { 0 };
    if (name) text_member(&facts, "name", name);
    call_begin(call, function, &facts);
    fake_lock();
}

static BOOL end(struct call *call, DWORD error)
{
    fake_unlock();
    call_after(call);
    if (call->fails) error = (DWORD)call->code;
    call_end(call, "%lu", error);
    SetLastError(error);
    return !error;
}

EXPORT SC_HANDLE WINAPI OpenSCManagerW(LPCWSTR machine, LPCWSTR database, DWORD access)
{
    struct call call;
    struct handle *handle = NULL;
    fake_start();
    begin(&call, "OpenSCManagerW", NULL);
    if (machine || database) violation("OpenSCManagerW: of another machine or database");
    if (!call.skips) handle = new_handle(NULL, access);
    return end(&call, 0) ? (SC_HANDLE)handle : NULL;
}

static char *wide_or(const char *function, const char *parameter, const wchar_t *text, const char *fallback)
{
    char *read = read_wide(function, parameter, text);
    return read ? read : _strdup(fallback);
}

EXPORT SC_HANDLE WINAPI CreateServiceW(SC_HANDLE manager, LPCWSTR wide_name, LPCWSTR display_name, DWORD access,
                                       DWORD type, DWORD start, DWORD error_control, LPCWSTR path, LPCWSTR group,
                                       DWORD *tag, LPCWSTR dependencies, LPCWSTR account, LPCWSTR password)
{
    static const char function[] = "CreateServiceW";
    struct call call;
    struct handle *handle = NULL;
    DWORD error = 0;
    fake_start();
    (void)group, (void)tag, (void)password;
    char *name = read_wide(function, "lpServiceName", wide_name);
    begin(&call, function, name);
    if (!call.skips && check(function, manager, false, SC_MANAGER_CREATE_SERVICE, &error)) {
        const struct service *other = find_service(name);
        if (!name || !*name || strpbrk(name, "/\\")) error = ERROR_INVALID_NAME;
        else if (!path || start > SERVICE_DISABLED) error = ERROR_INVALID_PARAMETER;
        else if (other) error = other->doomed ? ERROR_SERVICE_MARKED_FOR_DELETE : ERROR_SERVICE_EXISTS;
        else {
            struct service *service = calloc(1, sizeof *service);
            if (!service) abort();
            *service = (struct service){
                .name = _strdup(name), .display_name = wide_or(function, "lpDisplayName", display_name, name),
                .path = wide_or(function, "lpBinaryPathName", path, ""), .description = _strdup(""),
                .account = wide_or(function, "lpServiceStartName", account, "LocalSystem"),
                .dependencies = wide_or(function, "lpDependencies", dependencies, ""), .type = type, .start = start,
                .error_control = error_control, .state = SERVICE_STOPPED, .next = services };
            services = service;
            handle = new_handle(service, access);
        }
    }
    free(name);
    return end(&call, error) ? (SC_HANDLE)handle : NULL;
}

EXPORT SC_HANDLE WINAPI OpenServiceW(SC_HANDLE manager, LPCWSTR wide_name, DWORD access)
{
    struct call call;
    struct handle *handle = NULL;
    DWORD error = 0;
    fake_start();
    char *name = read_wide("OpenServiceW", "lpServiceName", wide_name);
    begin(&call, "OpenServiceW", name);
    if (!call.skips && check("OpenServiceW", manager, false, SC_MANAGER_CONNECT, &error)) {
        struct service *service = find_service(name);
        if (service) handle = new_handle(service, access);
        else error = ERROR_SERVICE_DOES_NOT_EXIST;
    }
    free(name);
    return end(&call, error) ? (SC_HANDLE)handle : NULL;
}

EXPORT BOOL WINAPI CloseServiceHandle(SC_HANDLE value)
{
    struct handle *handle = handles;
    fake_start();
    fake_lock();
    while (handle && (void *)handle != (void *)value) handle = handle->next;
    bool good = handle && handle->open;
    if (!good) violation("CloseServiceHandle: bad handle");
    else {
        handle->open = false;
        if (handle->service) {
            handle->service->handles--;
            drop_if_doomed(handle->service);
        }
    }
    fake_unlock();
    SetLastError(good ? 0 : ERROR_INVALID_HANDLE);
    return good;
}

EXPORT BOOL WINAPI DeleteService(SC_HANDLE value)
{
    struct call call;
    DWORD error = 0;
    fake_start();
    begin(&call, "DeleteService", NULL);
    struct handle *handle = call.skips ? NULL : check("DeleteService", value, true, DELETE, &error);
    if (handle && handle->service->doomed) error = ERROR_SERVICE_MARKED_FOR_DELETE;
    else if (handle) handle->service->doomed = true;
    return end(&call, error);
}

static void fill(SERVICE_STATUS *status, const struct service *service)
{
    memset(status, 0, sizeof *status);
    status->dwServiceType = service->type;
    status->dwCurrentState = service->state;
    if (service->state == SERVICE_RUNNING) status->dwControlsAccepted = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN;
}

EXPORT BOOL WINAPI QueryServiceStatus(SC_HANDLE value, SERVICE_STATUS *status)
{
    struct call call;
    DWORD error = 0;
    fake_start();
    begin(&call, "QueryServiceStatus", NULL);
    struct handle *handle = call.skips ? NULL : check("QueryServiceStatus", value, true, SERVICE_QUERY_STATUS, &error);
    if (handle && !is_writable(status, sizeof *status)) error = ERROR_INVALID_PARAMETER;
    else if (handle) fill(status, handle->service);
    return end(&call, error);
}

EXPORT BOOL WINAPI ControlService(SC_HANDLE value, DWORD control, SERVICE_STATUS *status)
{
    struct call call;
    DWORD error = 0, access = control == SERVICE_CONTROL_STOP ? SERVICE_STOP : SERVICE_INTERROGATE;
    fake_start();
    begin(&call, "ControlService", NULL);
    struct handle *handle = call.skips ? NULL : check("ControlService", value, true, access, &error);
    if (handle && !is_writable(status, sizeof *status)) error = ERROR_INVALID_PARAMETER;
    else if (handle && handle->service->state == SERVICE_STOPPED) error = ERROR_SERVICE_NOT_ACTIVE;
    else if (handle) {
        if (control == SERVICE_CONTROL_STOP) handle->service->state = SERVICE_STOPPED;
        fill(status, handle->service);
    }
    return end(&call, error);
}

EXPORT BOOL WINAPI StartServiceW(SC_HANDLE value, DWORD count, LPCWSTR *vector)
{
    struct call call;
    DWORD error = 0;
    fake_start();
    (void)count, (void)vector;
    begin(&call, "StartServiceW", NULL);
    struct handle *handle = call.skips ? NULL : check("StartServiceW", value, true, SERVICE_START, &error);
    if (handle && handle->service->doomed) error = ERROR_SERVICE_MARKED_FOR_DELETE;
    else if (handle && handle->service->state != SERVICE_STOPPED) error = ERROR_SERVICE_ALREADY_RUNNING;
    else if (handle) handle->service->state = SERVICE_RUNNING;
    return end(&call, error);
}

static DWORD configure(struct service *service, DWORD level, const void *info)
{
    char *text;
    switch (level) {
    case SERVICE_CONFIG_DESCRIPTION:
        text = read_wide("ChangeServiceConfig2W", "lpDescription", ((SERVICE_DESCRIPTIONW *)info)->lpDescription);
        free(service->description);
        service->description = text ? text : _strdup("");
        return 0;
    case SERVICE_CONFIG_FAILURE_ACTIONS:
        service->restarts = 0;
        for (DWORD i = 0; i < ((SERVICE_FAILURE_ACTIONSW *)info)->cActions; i++)
            service->restarts += ((SERVICE_FAILURE_ACTIONSW *)info)->lpsaActions[i].Type == SC_ACTION_RESTART;
        return 0;
    case SERVICE_CONFIG_DELAYED_AUTO_START_INFO:
        service->delayed = *(const BOOL *)info;
        return 0;
    case SERVICE_CONFIG_PRESHUTDOWN_INFO:
        service->preshutdown_ms = *(const DWORD *)info;
        return 0;
    default:
        return ERROR_INVALID_LEVEL;
    }
}

EXPORT BOOL WINAPI ChangeServiceConfig2W(SC_HANDLE value, DWORD level, LPVOID info)
{
    static const char function[] = "ChangeServiceConfig2W";
    struct call call;
    DWORD error = 0;
    fake_start();
    begin(&call, function, NULL);
    struct handle *handle = call.skips ? NULL : check(function, value, true, SERVICE_CHANGE_CONFIG, &error);
    if (handle) error = is_readable(info, sizeof(DWORD)) ? configure(handle->service, level, info)
                                                          : ERROR_INVALID_PARAMETER;
    /* To have the service restarted, one must be able to start it. */
    if (handle && !error && handle->service->restarts && !(handle->access & SERVICE_START)) error = ERROR_ACCESS_DENIED;
    return end(&call, error);
}

bool set_state(const struct json *request)
{
    fake_lock();
    struct service *service = find_service(json_text(request, "name", ""));
    if (service) {
        service->state = (DWORD)json_integer(request, "state", SERVICE_RUNNING);
        drop_if_doomed(service);
    }
    fake_unlock();
    return service != NULL;
}

void write_services(struct text *reply)
{
    fake_lock();
    text_key(reply, "services");
    text_append(reply, "[");
    for (const struct service *one = services; one; one = one->next) {
        text_comma(reply);
        text_append(reply, "{");
        text_member(reply, "name", one->name);
        text_member(reply, "displayName", one->display_name);
        text_member(reply, "path", one->path);
        text_member(reply, "account", one->account);
        text_member(reply, "dependencies", one->dependencies);
        text_member(reply, "description", one->description);
        text_append(reply, ",\"type\":%lu,\"start\":%lu,\"errorControl\":%lu,\"state\":%lu", one->type, one->start,
                    one->error_control, one->state);
        text_append(reply, ",\"restarts\":%lu,\"preshutdownMs\":%lu,\"delayed\":%s,\"doomed\":%s}", one->restarts,
                    one->preshutdown_ms, one->delayed ? "true" : "false", one->doomed ? "true" : "false");
    }
    text_append(reply, "]");
    fake_unlock();
}

void write_handle_counters(struct text *reply)
{
    int open = 0;
    fake_lock();
    for (const struct handle *one = handles; one; one = one->next) open += one->open;
    fake_unlock();
    text_member_integer(reply, "handlesOpen", open);
}

/* Handles stay known, as closed. */
void forget_services(void)
{
    fake_lock();
    for (struct handle *one = handles; one; one = one->next) one->open = false;
    services = NULL;
    fake_unlock();
}
