/* The strict JSON reader; see json.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"

#define MAX_DEPTH 64

struct reader {
    const char *start, *at;
    int depth;
    char *why;
    size_t why_size;
    bool failed;
};

static struct json *read_value(struct reader *r);

static void *fail(struct reader *r, const char *what)
{
    if (!r->failed) snprintf(r->why, r->why_size, "%s at byte %d", what, (int)(r->at - r->start));
    r->failed = true;
    return NULL;
}

static void skip_blank(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r') r->at++;
}

static struct json *new_value(enum json_type type)
{
    struct json *value = calloc(1, sizeof *value);
    if (!value) abort();
    value->type = type;
    return value;
}

static int hex4(struct reader *r)
{
    int value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = *r->at;
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* One code point as UTF-8. */
static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) *out++ = (char)c;
    else {
        if (c < 0x800) *out++ = (char)(0xC0 | c >> 6);
        else {
            if (c < 0x10000) *out++ = (char)(0xE0 | c >> 12);
            else {
                *out++ = (char)(0xF0 | c >> 18);
                *out++ = (char)(0x80 | (c >> 12 & 63));
            }
            *out++ = (char)(0x80 | (c >> 6 & 63));
        }
        *out++ = (char)(0x80 | (c & 63));
    }
    return out;
}

/* Behind `\u`: one code point, which takes a second escape when it is a surrogate pair; 0 is refused. */
static bool read_unicode(struct reader *r, char **out)
{
    int high = hex4(r);
    if (high <= 0) return false;
    uint32_t c = (uint32_t)high;
    if (c >= 0xDC00 && c < 0xE000) return false;
    if (c >= 0xD800 && c < 0xDC00) {
        if (r->at[0] != '\\' || r->at[1] != 'u') return false;
        r->at += 2;
        int low = hex4(r);
        if (low < 0xDC00 || low >= 0xE000) return false;
        c = 0x10000 + ((c - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
    }
    *out = put_utf8(*out, c);
    return true;
}

/* One character of a string, escaped or not; false when it may not stand there. */
static bool read_character(struct reader *r, char **out)
{
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    unsigned char c = (unsigned char)*r->at;
    if (c < 0x20) return false;
    r->at++;
    if (c != '\\') {
        *(*out)++ = (char)c;
        return true;
    }
    char escape = *r->at;
    if (!escape) return false;
    r->at++;
    if (escape == 'u') return read_unicode(r, out);
    for (const char *pair = escapes; *pair; pair += 2) {
        if (*pair != escape) continue;
        *(*out)++ = pair[1];
        return true;
    }
    return false;
}

static char *read_string(struct reader *r)
{
    const char *end = r->at + 1;
    while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
    char *text = malloc((size_t)(end - r->at) + 1), *out = text;
    if (!text) abort();
    r->at++;
    while (*r->at != '"') {
        if (read_character(r, &out)) continue;
        free(text);
        return fail(r, "bad string");
    }
    r->at++;
    *out = 0;
    return text;
}

static void skip_digits(struct reader *r)
{
    while (*r->at >= '0' && *r->at <= '9') r->at++;
}

static struct json *read_number(struct reader *r)
{
    const char *start = r->at;
    bool integral = true;
    if (*r->at == '-') r->at++;
    const char *digits = r->at;
    skip_digits(r);
    if (r->at == digits || (*digits == '0' && r->at - digits > 1)) return fail(r, "bad number");
    if (*r->at == '.') {
        integral = false;
        const char *fraction = ++r->at;
        skip_digits(r);
        if (r->at == fraction) return fail(r, "bad number");
    }
    if ((*r->at | 32) == 'e') {
        integral = false;
        r->at++;
        if (*r->at == '+' || *r->at == '-') r->at++;
        const char *exponent = r->at;
        skip_digits(r);
        if (r->at == exponent) return fail(r, "bad number");
    }
    struct json *value = new_value(JSON_NUMBER);
    size_t length = (size_t)(r->at - start);
    value->text = calloc(1, length + 1);
    if (!value->text) abort();
    memcpy(value->text, start, length);
    value->integral = integral && r->at - digits <= 18;
    if (value->integral) value->number = strtoll(value->text, NULL, 10);
    return value;
}

static struct json *read_word(struct reader *r)
{
    static const struct { const char *word; enum json_type type; bool truth; } words[] = {
        { "null", JSON_NULL, false }, { "true", JSON_BOOL, true }, { "false", JSON_BOOL, false },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(r->at, words[i].word, length)) continue;
        r->at += length;
        struct json *value = new_value(words[i].type);
        value->truth = words[i].truth;
        return value;
    }
    return fail(r, "no value");
}

/* Reads a member's name and the colon behind it. */
static char *read_key(struct reader *r, const struct json *object)
{
    if (*r->at != '"') return fail(r, "no member name");
    char *key = read_string(r);
    if (!key) return NULL;
    skip_blank(r);
    if (*r->at == ':' && !json_get(object, key)) {
        r->at++;
        skip_blank(r);
        return key;
    }
    free(key);
    return fail(r, *r->at == ':' ? "duplicate member" : "no colon");
}

static struct json *read_container(struct reader *r, enum json_type type)
{
    char end = type == JSON_OBJECT ? '}' : ']';
    struct json *container = new_value(type), **tail = &container->first;
    r->at++;
    skip_blank(r);
    while (*r->at != end) {
        if (container->first) {
            if (*r->at != ',') break;
            r->at++;
            skip_blank(r);
        }
        char *key = type == JSON_OBJECT ? read_key(r, container) : NULL;
        struct json *value = r->failed ? NULL : read_value(r);
        if (!value) {
            free(key);
            break;
        }
        value->key = key;
        *tail = value;
        tail = &value->next;
        skip_blank(r);
    }
    if (!r->failed && *r->at == end) {
        r->at++;
        return container;
    }
    json_free(container);
    return fail(r, "unfinished array or object");
}

static struct json *read_value(struct reader *r)
{
    if (r->depth >= MAX_DEPTH) return fail(r, "nested too deeply");
    r->depth++;
    struct json *value = NULL;
    if (*r->at == '{') value = read_container(r, JSON_OBJECT);
    else if (*r->at == '[') value = read_container(r, JSON_ARRAY);
    else if (*r->at == '"') {
        char *text = read_string(r);
        if (text) (value = new_value(JSON_STRING))->text = text;
    } else if (*r->at == '-' || (*r->at >= '0' && *r->at <= '9')) value = read_number(r);
    else value = read_word(r);
    r->depth--;
    return value;
}

struct json *json_parse(const char *source, char *why, size_t why_size)
{
    struct reader r = { .start = source, .at = source, .why = why, .why_size = why_size };
    skip_blank(&r);
    struct json *value = read_value(&r);
    skip_blank(&r);
    if (!value || !*r.at) return value;
    json_free(value);
    return fail(&r, "text behind the document");
}

void json_free(struct json *value)
{
    while (value) {
        struct json *next = value->next;
        json_free(value->first);
        free(value->text);
        free(value->key);
        free(value);
        value = next;
    }
}
