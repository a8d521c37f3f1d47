/* The objects of the fake HNS, in memory or in the file that FAKE_HNS_STATE names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hcn.h"

const char *const KIND_NAMES[KINDS] = { "network", "endpoint", "namespace" };

/* HNS has one namespace of its own, for the host. */
#define DEFAULT_NAMESPACE "910f7d92-ba2d-4c3f-98ae-7c0ac590d2dc"

struct object *objects;
static unsigned numbers = 1;
static wchar_t file[MAX_PATH];
static HANDLE file_lock;

struct object *find_object(enum kind kind, const GUID *id)
{
    struct object *one = objects;
    while (one && (one->kind != kind || !IsEqualGUID(&one->id, id))) one = one->next;
    return one;
}

struct object *add_object(enum kind kind, const GUID *id, struct json *document)
{
    struct object *object = calloc(1, sizeof *object), **tail = &objects;
    char why[8];
    if (!object) abort();
    object->kind = kind;
    object->id = *id;
    object->document = document ? document : json_parse("{}", why, sizeof why);
    object->created = GetTickCount64();
    object->number = numbers++;
    while (*tail) tail = &(*tail)->next;
    *tail = object;
    return object;
}

void remove_object(struct object *object)
{
    struct object **link = &objects;
    while (*link != object) link = &(*link)->next;
    *link = object->next;
    while (object->resources) remove_resource(object, object->resources->type, object->resources->id);
    json_free(object->document);
    free(object);
}

static void make_default(void)
{
    GUID id;
    char why[8];
    parse_guid(DEFAULT_NAMESPACE, &id, true);
    if (!find_object(KIND_NAMESPACE, &id))
        add_object(KIND_NAMESPACE, &id, json_parse("{\"Type\":\"HostDefault\"}", why, sizeof why));
}

void forget_objects(void)
{
    while (objects) remove_object(objects);
    numbers = 1;
    make_default();
}

struct object *default_namespace(void)
{
    GUID id;
    parse_guid(DEFAULT_NAMESPACE, &id, true);
    return find_object(KIND_NAMESPACE, &id);
}

void add_resource(struct object *namespace, const char *type, const char *id)
{
    struct resource *resource = calloc(1, sizeof *resource), **tail = &namespace->resources;
    if (!resource) abort();
    resource->type = _strdup(type);
    resource->id = _strdup(id);
    while (*tail) tail = &(*tail)->next;
    *tail = resource;
}

bool remove_resource(struct object *namespace, const char *type, const char *id)
{
    for (struct resource **link = &namespace->resources; *link; link = &(*link)->next) {
        struct resource *resource = *link;
        if (strcmp(resource->type, type) || _stricmp(resource->id, id)) continue;
        *link = resource->next;
        free(resource->type);
        free(resource->id);
        free(resource);
        return true;
    }
    return false;
}

struct object *namespace_of(const GUID *endpoint)
{
    char id[39];
    format_guid(id, endpoint, false);
    for (struct object *one = objects; one; one = one->next)
        for (struct resource *held = one->resources; held; held = held->next)
            if (!strcmp(held->type, "Endpoint") && !_stricmp(held->id, id)) return one;
    return NULL;
}

bool has_endpoints(const struct object *network)
{
    for (const struct object *one = objects; one; one = one->next)
        if (one->kind == KIND_ENDPOINT && IsEqualGUID(&one->network, &network->id)) return true;
    return false;
}

static void write_one(struct text *out, const struct object *object)
{
    char id[39], ip[16];
    text_comma(out);
    text_append(out, "{");
    text_member(out, "id", format_guid(id, &object->id, false));
    text_member_integer(out, "number", object->number);
    text_key(out, "document");
    text_json(out, object->document);
    if (object->kind == KIND_NETWORK) text_member_integer(out, "created", (int64_t)object->created);
    if (object->kind == KIND_ENDPOINT) {
        text_member(out, "network", format_guid(id, &object->network, false));
        format_ipv4(ip, object->address);
        text_member(out, "ip", ip);
        text_member_integer(out, "prefixLength", object->prefix_length);
    }
    if (object->kind == KIND_NAMESPACE) {
        text_key(out, "resources");
        text_append(out, "[");
        for (const struct resource *held = object->resources; held; held = held->next) {
            text_comma(out);
            text_append(out, "{");
            text_member(out, "type", held->type);
            text_member(out, "id", held->id);
            text_append(out, "}");
        }
        text_append(out, "]");
    }
    text_append(out, "}");
}

void write_state(struct text *out)
{
    for (int kind = 0; kind < KINDS; kind++) {
        char plural[16];
        snprintf(plural, sizeof plural, "%ss", KIND_NAMES[kind]);
        text_key(out, plural);
        text_append(out, "[");
        for (const struct object *one = objects; one; one = one->next)
            if ((int)one->kind == kind) write_one(out, one);
        text_append(out, "]");
    }
}

static struct json *copy_json(const struct json *value)
{
    char why[8];
    struct text text = { 0 };
    if (!value) return NULL;
    text_json(&text, value);
    struct json *copy = json_parse(text.data, why, sizeof why);
    text_free(&text);
    return copy;
}

static bool put(enum kind kind, const struct json *source)
{
    GUID id;
    if (!parse_guid(json_text(source, "id", ""), &id, false)) return false;
    struct object *object = find_object(kind, &id);
    if (object) remove_object(object);
    object = add_object(kind, &id, copy_json(json_get(source, "document")));
    object->number = (unsigned)json_integer(source, "number", object->number);
    if (object->number >= numbers) numbers = object->number + 1;
    /* What a test puts there has long settled. */
    object->created = (ULONGLONG)json_integer(source, "created", 0);
    parse_guid(json_text(source, "network", ""), &object->network, false);
    parse_ipv4(json_text(source, "ip", ""), &object->address);
    object->prefix_length = (int)json_integer(source, "prefixLength", 28);
    const struct json *resources = json_get(source, "resources");
    for (const struct json *one = resources ? resources->first : NULL; one; one = one->next)
        add_resource(object, json_text(one, "type", "Endpoint"), json_text(one, "id", ""));
    return true;
}

bool put_object(const struct json *request)
{
    const char *kind = json_text(request, "kind", "");
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(KIND_NAMES[i], kind)) return put(i, json_get(request, "object"));
    return false;
}

static void load(void)
{
    char why[96];
    FILE *in = _wfopen(file, L"rb");
    while (objects) remove_object(objects);
    if (in) {
        fseek(in, 0, SEEK_END);
        size_t size = (size_t)ftell(in);
        char *source = calloc(1, size + 1);
        rewind(in);
        if (!source || fread(source, 1, size, in) != size) abort();
        fclose(in);
        struct json *state = json_parse(source, why, sizeof why);
        for (int kind = 0; kind < KINDS; kind++) {
            char plural[16];
            snprintf(plural, sizeof plural, "%ss", KIND_NAMES[kind]);
            const struct json *list = json_get(state, plural);
            for (const struct json *one = list ? list->first : NULL; one; one = one->next) put(kind, one);
        }
        json_free(state);
        free(source);
    }
    make_default();
}

/* Written beside and moved over, since processes are killed at any point. */
static void save(void)
{
    wchar_t temporary[MAX_PATH + 4];
    struct text text = { 0 };
    swprintf(temporary, MAX_PATH + 4, L"%ls.new", file);
    FILE *out = _wfopen(temporary, L"wb");
    if (!out) return;
    text_append(&text, "{");
    write_state(&text);
    text_append(&text, "}");
    fwrite(text.data, 1, text.length, out);
    fclose(out);
    text_free(&text);
    /* A test that is reading the file keeps it from being replaced for that moment. */
    for (int tries = 0; tries < 1000 && !MoveFileExW(temporary, file, MOVEFILE_REPLACE_EXISTING); tries++) Sleep(2);
}

void state_enter(void)
{
    static bool started;
    fake_lock();
    if (!started) {
        started = true;
        GetEnvironmentVariableW(L"FAKE_HNS_STATE", file, MAX_PATH);
        if (*file) file_lock = CreateMutexW(NULL, FALSE, L"Local\\zlayer-fake-hns");
        else make_default();
    }
    if (!*file) return;
    WaitForSingleObject(file_lock, INFINITE);
    load();
}

void state_leave(void)
{
    if (*file) {
        announce_vnics();
        save();
        ReleaseMutex(file_lock);
    }
    fake_unlock();
}
