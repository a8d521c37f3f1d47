/* The frame of every exported function: arguments checked and logged, the script obeyed, results handed out. */
#include <stdlib.h>
#include <string.h>
#include "hcn.h"

static bool check_arguments(struct api *api, const char *function, const struct arguments *a)
{
    bool good = true;
    if (a->needs_id && !is_readable(a->id, sizeof *a->id)) {
        violation("%s: Id cannot be read", function);
        good = false;
    }
    if (a->needs_handle_out && !check_out(function, "handle", a->handle_out, sizeof *a->handle_out)) good = false;
    if (a->needs_string_out && !check_out(function, "string", a->string_out, sizeof *a->string_out)) good = false;
    if (a->record_out && !check_out(function, "ErrorRecord", a->record_out, sizeof *a->record_out)) good = false;
    if (!good) refuse(&api->no, HCN_E_POINTER, "bad pointer");
    return good;
}

static void write_facts(struct text *facts, const struct api *api, const struct arguments *a, bool good)
{
    char id[39];
    if (a->needs_id && good) text_member(facts, "id", format_guid(id, a->id, false));
    if (a->has_handle) {
        text_key(facts, "handle");
        text_append(facts, "\"%p\"", a->handle);
    }
    if (a->settings_name) text_member(facts, "document", api->settings);
}

bool api_begin(struct api *api, const char *function, const struct arguments *a)
{
    struct text facts = { 0 };
    fake_start();
    memset(api, 0, sizeof *api);
    bool good = check_arguments(api, function, a);
    api->handle_out = a->handle_out;
    api->string_out = a->string_out;
    api->record_out = a->record_out;
    if (a->settings_name) api->settings = read_wide(function, a->settings_name, a->settings);
    write_facts(&facts, api, a, good);
    call_begin(&api->call, function, &facts);
    state_enter();
    return good && !api->call.skips;
}

void api_opens(struct api *api, enum kind kind, const GUID *id)
{
    api->opens = true;
    api->opened = kind;
    api->opened_id = *id;
}

/* The caller's own error record, or HNS's when something failed. */
static void give_record(struct api *api, HRESULT hr)
{
    struct text record = { 0 };
    if (!api->record_out || (SUCCEEDED(hr) && !api->call.record)) return;
    if (api->call.record) text_append(&record, "%s", api->call.record);
    else {
        text_append(&record, "{\"Success\":false");
        text_member(&record, "Error", *api->no.text ? api->no.text : "scripted");
        text_member_integer(&record, "ErrorCode", (uint32_t)hr);
        text_append(&record, "}");
    }
    *api->record_out = hand_out(record.data);
    text_free(&record);
}

HRESULT api_end(struct api *api)
{
    state_leave();
    call_after(&api->call);
    HRESULT hr = api->call.fails ? (HRESULT)api->call.code : api->no.hr;
    if (hr != HCN_E_POINTER) {
        give_record(api, hr);
        fake_lock();
        if (SUCCEEDED(hr) && api->opens) *api->handle_out = open_handle(api->opened, &api->opened_id);
        fake_unlock();
        if (SUCCEEDED(hr) && api->output) *api->string_out = hand_out(api->output);
    }
    free(api->output);
    free(api->settings);
    json_free(api->document);
    call_end(&api->call, "0x%08x", (unsigned)hr);
    return hr;
}
