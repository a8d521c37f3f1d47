/*
 * Changes of networks and endpoints: policies are added, removed and replaced, as hcsshim's requests say it. A policy
 * is removed by naming it exactly as it is; an update replaces those of its type.
 */
#include <stdlib.h>
#include <string.h>
#include "hcn.h"

typedef bool comparison(const struct json *a, const struct json *b);

static bool is_same(const struct json *a, const struct json *b)
{
    struct text one = { 0 }, other = { 0 };
    text_json(&one, a);
    text_json(&other, b);
    bool same = !strcmp(one.data, other.data);
    text_free(&one);
    text_free(&other);
    return same;
}

static bool is_same_type(const struct json *a, const struct json *b)
{
    return !strcmp(json_text(a, "Type", ""), json_text(b, "Type", ""));
}

static const struct json *find_policy(const struct json *policies, const struct json *wanted,
                                      comparison *compare)
{
    const struct json *one = policies ? policies->first : NULL;
    while (one && !compare(one, wanted)) one = one->next;
    return one;
}

/* Puts text in as a member, in place of one of that name; of no text none is left. */
static void set_member(struct json *document, const char *key, const char *source)
{
    char why[8];
    struct json **link = &document->first, *old = NULL;
    while (*link && strcmp((*link)->key, key)) link = &(*link)->next;
    if (*link) {
        old = *link;
        *link = old->next;
        old->next = NULL;
        json_free(old);
    }
    if (!source) return;
    struct json *value = json_parse(source, why, sizeof why);
    if (!value) abort();
    value->key = _strdup(key);
    value->next = document->first;
    document->first = value;
}

/* Policies that stay, then those that come. */
static void write_policies(struct text *out, const struct json *present, const struct json *given, bool adds,
                           comparison *replaces)
{
    text_append(out, "[");
    for (const struct json *one = present ? present->first : NULL; one; one = one->next) {
        if (replaces && find_policy(given, one, replaces)) continue;
        text_comma(out);
        text_json(out, one);
    }
    for (const struct json *one = adds ? given->first : NULL; one; one = one->next) {
        text_comma(out);
        text_json(out, one);
    }
    text_append(out, "]");
}

static bool change_policies(struct object *object, const char *request, const struct json *given, struct refusal *no)
{
    const struct json *present = json_get(object->document, "Policies");
    bool adds = !strcmp(request, "Add"), removes = !strcmp(request, "Remove");
    comparison *compare = adds || removes ? is_same : is_same_type;
    struct text policies = { 0 };
    if (object->kind == KIND_NETWORK && !strcmp(json_text(object->document, "Type", ""), "Internal"))
        return refuse(no, HCN_E_INVALID_POLICY, "an Internal network takes no Policies");
    for (const struct json *one = given->first; one; one = one->next) {
        bool there = find_policy(present, one, compare) != NULL;
        if (adds && there) return refuse(no, HCN_E_POLICY_ALREADY_EXISTS, "there is such a policy already");
        if (!adds && !there) return refuse(no, HCN_E_POLICY_NOT_FOUND, "there is no such policy");
    }
    write_policies(&policies, present, given, !removes, adds ? NULL : compare);
    set_member(object->document, "Policies", strcmp(policies.data, "[]") ? policies.data : NULL);
    text_free(&policies);
    return true;
}

bool change_object(struct object *object, const struct json *change, struct refusal *no)
{
    const struct json *settings = json_get(change, "Settings");
    if (!strcmp(json_text(change, "ResourceType", ""), "Policy"))
        return change_policies(object, json_text(change, "RequestType", ""), json_get(settings, "Policies"), no);
    struct text dns = { 0 };
    text_json(&dns, settings);
    set_member(object->document, "Dns", dns.data);
    text_free(&dns);
    return true;
}
