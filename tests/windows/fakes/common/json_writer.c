/* Looking into JSON values and writing them; see json.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"

const struct json *json_get(const struct json *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT) return NULL;
    for (const struct json *member = object->first; member; member = member->next)
        if (!strcmp(member->key, key)) return member;
    return NULL;
}

const char *json_text(const struct json *object, const char *key, const char *fallback)
{
    const struct json *member = json_get(object, key);
    return member && member->type == JSON_STRING ? member->text : fallback;
}

int64_t json_integer(const struct json *object, const char *key, int64_t fallback)
{
    const struct json *member = json_get(object, key);
    return member && member->type == JSON_NUMBER && member->integral ? member->number : fallback;
}

bool json_truth(const struct json *object, const char *key, bool fallback)
{
    const struct json *member = json_get(object, key);
    return member && member->type == JSON_BOOL ? member->truth : fallback;
}

size_t json_length(const struct json *value)
{
    size_t length = 0;
    for (const struct json *child = value ? value->first : NULL; child; child = child->next) length++;
    return length;
}

void text_append(struct text *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) abort();
    if (out->length + (size_t)length + 1 > out->capacity) {
        out->capacity = (out->length + (size_t)length + 64) * 2;
        out->data = realloc(out->data, out->capacity);
        if (!out->data) abort();
    }
    va_start(arguments, format);
    vsnprintf(out->data + out->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    out->length += (size_t)length;
}

void text_quote(struct text *out, const char *value)
{
    if (!value) {
        text_append(out, "null");
        return;
    }
    text_append(out, "\"");
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\') text_append(out, "\\%c", c);
        else if (c < 0x20) text_append(out, "\\u%04x", c);
        else text_append(out, "%c", c);
    }
    text_append(out, "\"");
}

void text_comma(struct text *out)
{
    if (out->length && !strchr("[{:,", out->data[out->length - 1])) text_append(out, ",");
}

void text_json(struct text *out, const struct json *value)
{
    switch (value->type) {
    case JSON_NULL: text_append(out, "null"); return;
    case JSON_BOOL: text_append(out, value->truth ? "true" : "false"); return;
    case JSON_NUMBER: text_append(out, "%s", value->text); return;
    case JSON_STRING: text_quote(out, value->text); return;
    default: break;
    }
    text_append(out, value->type == JSON_OBJECT ? "{" : "[");
    for (const struct json *child = value->first; child; child = child->next) {
        if (child->key) text_key(out, child->key);
        else text_comma(out);
        text_json(out, child);
    }
    text_append(out, value->type == JSON_OBJECT ? "}" : "]");
}

void text_key(struct text *out, const char *key)
{
    text_comma(out);
    text_quote(out, key);
    text_append(out, ":");
}

void text_member(struct text *out, const char *key, const char *value)
{
    text_key(out, key);
    text_quote(out, value);
}

void text_member_integer(struct text *out, const char *key, int64_t value)
{
    text_key(out, key);
    text_append(out, "%lld", (long long)value);
}

void text_free(struct text *out)
{
    free(out->data);
    memset(out, 0, sizeof *out);
}
