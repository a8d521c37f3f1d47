/*
 * JSON for the fake libraries: a strict reader (RFC 8259, no duplicate keys, no trailing text) and a writer.
 *
 * All text is UTF-8. A document is a tree of values in memory of its own; json_free() releases a root.
 */
#ifndef FAKES_JSON_H
#define FAKES_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    bool truth;        /* of a JSON_BOOL */
    bool integral;     /* a JSON_NUMBER without fraction or exponent that fits in 64 bits */
    int64_t number;    /* valid when integral */
    char *text;        /* of a JSON_STRING, NUL at its end and none inside; of a JSON_NUMBER as it was written */
    char *key;         /* the member's name in an object, else NULL */
    struct json *first, *next;
};

/* Reads a whole document; on failure returns NULL and says what is wrong in why. */
struct json *json_parse(const char *source, char *why, size_t why_size);
void json_free(struct json *value);
/* The member of that exact name, or NULL. */
const struct json *json_get(const struct json *object, const char *key);
/* The text of a string member, or fallback when the member is absent or something else. */
const char *json_text(const struct json *object, const char *key, const char *fallback);
int64_t json_integer(const struct json *object, const char *key, int64_t fallback);
bool json_truth(const struct json *object, const char *key, bool fallback);
size_t json_length(const struct json *value);

/* Text that grows; data is never NULL after the first append and always ends in NUL. */
struct text {
    char *data;
    size_t length, capacity;
};

void text_append(struct text *out, const char *format, ...) __attribute__((format(gnu_printf, 2, 3)));
/* Appends a JSON string with its quotes; NULL becomes null. */
void text_quote(struct text *out, const char *value);
/* Appends a comma unless the text ends in an opening bracket, a colon or nothing. */
void text_comma(struct text *out);
/* Appends a whole value as compact JSON. */
void text_json(struct text *out, const struct json *value);
/* Appends `,"key":`, `,"key":"value"` and so on, the comma only where one is due. */
void text_key(struct text *out, const char *key);
void text_member(struct text *out, const char *key, const char *value);
void text_member_integer(struct text *out, const char *key, int64_t value);
void text_free(struct text *out);

#endif
