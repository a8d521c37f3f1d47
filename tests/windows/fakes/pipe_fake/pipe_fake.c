/*
 * kernel32 as a pipe server sees it, with what Wine does not enforce: CreateNamedPipeW records its arguments, the
 * security descriptor as SDDL among them, and FILE_FLAG_FIRST_PIPE_INSTANCE is refused with 5 when an instance of that
 * name lives, in any process of the prefix. CloseHandle keeps count. All other functions that pipe_fake.def names are
 * kernel32's own. Nobody enforces the descriptor: that stays unproven here.
 *
 * The log has for each CreateNamedPipeW: name, openMode, pipeMode, maxInstances, outBuffer, inBuffer, timeout,
 * sddl (owner and DACL; null without a descriptor), label (policy and level of the mandatory label, null for none),
 * inherit.
 */
#include "../common/fake.h"
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct instance {
    HANDLE pipe, claim;
    char *name;
    DWORD open_mode, pipe_mode, max_instances;
    struct instance *next;
};

static struct instance *instances;

static struct instance *of_name(const char *name)
{
    struct instance *one = instances;
    while (one && _stricmp(one->name, name)) one = one->next;
    return one;
}

/* An object of the kernel that lives as long as an instance of the name; is_new tells whether it was there. */
static HANDLE claim_name(const char *name, bool *is_new)
{
    char claim[MAX_PATH];
    snprintf(claim, sizeof claim, "Local\\zlayer-pipe-%s", strrchr(name, '\\') ? strrchr(name, '\\') + 1 : name);
    HANDLE handle = CreateMutexA(NULL, FALSE, claim);
    *is_new = GetLastError() != ERROR_ALREADY_EXISTS;
    return handle;
}

/* Wine cannot write a label as SDDL. */
static void write_label(struct text *facts, SECURITY_DESCRIPTOR *descriptor)
{
    BOOL present = FALSE, defaulted;
    ACL *acl = NULL;
    SYSTEM_MANDATORY_LABEL_ACE *ace = NULL;
    char label[32];
    GetSecurityDescriptorSacl(descriptor, &present, &acl, &defaulted);
    if (!present || !acl || !GetAce(acl, 0, (void **)&ace) || ace->Header.AceType != SYSTEM_MANDATORY_LABEL_ACE_TYPE) {
        text_member(facts, "label", NULL);
        return;
    }
    snprintf(label, sizeof label, "%#lx %#lx", ace->Mask, *GetSidSubAuthority(&ace->SidStart, 0));
    text_member(facts, "label", label);
}

static void write_descriptor(struct text *facts, const SECURITY_ATTRIBUTES *attributes)
{
    wchar_t *sddl = NULL;
    char *utf8 = NULL;
    if (attributes && !is_readable(attributes, sizeof *attributes))
        violation("CreateNamedPipeW: lpSecurityAttributes cannot be read");
    else if (attributes) {
        if (attributes->nLength != sizeof *attributes) violation("CreateNamedPipeW: nLength is wrong");
        if (!IsValidSecurityDescriptor(attributes->lpSecurityDescriptor) ||
            !ConvertSecurityDescriptorToStringSecurityDescriptorW(attributes->lpSecurityDescriptor, SDDL_REVISION_1,
                                                                  OWNER_SECURITY_INFORMATION |
                                                                      DACL_SECURITY_INFORMATION, &sddl, NULL))
            violation("CreateNamedPipeW: no valid security descriptor");
        else utf8 = read_wide("CreateNamedPipeW", "sddl", sddl), write_label(facts, attributes->lpSecurityDescriptor);
        text_append(facts, ",\"inherit\":%s", attributes->bInheritHandle ? "true" : "false");
    }
    text_member(facts, "sddl", utf8);
    LocalFree(sddl);
    free(utf8);
}

/* What Windows refuses besides what Wine does; 0 when nothing. */
static DWORD refusal(const char *name, DWORD open_mode, DWORD pipe_mode, DWORD max_instances, bool is_first)
{
    const struct instance *other = of_name(name);
    if ((open_mode & FILE_FLAG_FIRST_PIPE_INSTANCE) && !is_first) return ERROR_ACCESS_DENIED;
    if (!other) return 0;
    /* All instances of a name agree on these. */
    DWORD direction = PIPE_ACCESS_DUPLEX;
    if ((other->open_mode & direction) != (open_mode & direction) || other->pipe_mode != pipe_mode ||
        other->max_instances != max_instances) return ERROR_ACCESS_DENIED;
    return 0;
}

static HANDLE create(const char *name, HANDLE pipe, HANDLE claim, DWORD open_mode, DWORD pipe_mode, DWORD max)
{
    struct instance *instance = calloc(1, sizeof *instance);
    if (!instance) abort();
    *instance = (struct instance){ .pipe = pipe, .claim = claim, .name = _strdup(name), .open_mode = open_mode,
                                   .pipe_mode = pipe_mode, .max_instances = max, .next = instances };
    instances = instance;
    return pipe;
}

HANDLE WINAPI FakeCreateNamedPipeW(LPCWSTR, DWORD, DWORD, DWORD, DWORD, DWORD, DWORD, SECURITY_ATTRIBUTES *);
BOOL WINAPI FakeCloseHandle(HANDLE);

HANDLE WINAPI FakeCreateNamedPipeW(LPCWSTR wide_name, DWORD open_mode, DWORD pipe_mode, DWORD max, DWORD out_buffer,
                                   DWORD in_buffer, DWORD timeout, SECURITY_ATTRIBUTES *attributes)
{
    struct call call;
    struct text facts = { 0 };
    bool is_first = false;
    HANDLE pipe = INVALID_HANDLE_VALUE, claim = NULL;
    fake_start();
    char *name = read_wide("CreateNamedPipeW", "lpName", wide_name);
    text_member(&facts, "name", name);
    text_append(&facts, ",\"openMode\":%lu,\"pipeMode\":%lu,\"maxInstances\":%lu", open_mode, pipe_mode, max);
    text_append(&facts, ",\"outBuffer\":%lu,\"inBuffer\":%lu,\"timeout\":%lu", out_buffer, in_buffer, timeout);
    write_descriptor(&facts, attributes);
    call_begin(&call, "CreateNamedPipeW", &facts);
    fake_lock();
    DWORD error = call.skips ? (DWORD)call.code : name ? 0 : ERROR_INVALID_NAME;
    if (!error) {
        claim = claim_name(name, &is_first);
        error = refusal(name, open_mode, pipe_mode, max, is_first);
    }
    if (!error) {
        pipe = CreateNamedPipeW(wide_name, open_mode, pipe_mode, max, out_buffer, in_buffer, timeout, attributes);
        error = pipe == INVALID_HANDLE_VALUE ? GetLastError() : 0;
    }
    if (!error) create(name, pipe, claim, open_mode, pipe_mode, max);
    else if (claim) CloseHandle(claim);
    fake_unlock();
    free(name);
    call_after(&call);
    call_end(&call, "%lu", error);
    SetLastError(error);
    return pipe;
}

/* A handle that is no pipe of ours passes through. */
BOOL WINAPI FakeCloseHandle(HANDLE handle)
{
    fake_start();
    fake_lock();
    for (struct instance **link = &instances; *link; link = &(*link)->next) {
        struct instance *instance = *link;
        if (instance->pipe != handle) continue;
        *link = instance->next;
        CloseHandle(instance->claim);
        free(instance->name);
        free(instance);
        break;
    }
    fake_unlock();
    return CloseHandle(handle);
}

bool fake_request(const char *op, const struct json *request, struct text *reply)
{
    return (void)op, (void)request, (void)reply, false;
}

void fake_counters(struct text *reply)
{
    int open = 0;
    fake_lock();
    for (const struct instance *one = instances; one; one = one->next) open++;
    fake_unlock();
    text_member_integer(reply, "pipesOpen", open);
}

/* Pipes belong to the program; they stay. */
void fake_reset(void)
{
}
