/* Checks of what the caller hands over; see fake.h. */
#include <stdlib.h>
#include <string.h>
#include "fake.h"

/* Text without an end is recognised by its length: no document of ours comes near this. */
#define MAX_WIDE (1u << 20)

static bool pages_allow(const void *pointer, size_t size, DWORD allowed)
{
    const char *at = pointer, *end = at + size;
    while (at < end) {
        MEMORY_BASIC_INFORMATION pages;
        if (!VirtualQuery(at, &pages, sizeof pages) || pages.State != MEM_COMMIT) return false;
        if (!(pages.Protect & allowed) || (pages.Protect & PAGE_GUARD)) return false;
        at = (const char *)pages.BaseAddress + pages.RegionSize;
    }
    return true;
}

bool is_readable(const void *pointer, size_t size)
{
    return pointer && pages_allow(pointer, size, PAGE_READONLY | PAGE_READWRITE | PAGE_WRITECOPY |
                                  PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY);
}

bool is_writable(void *pointer, size_t size)
{
    return pointer && pages_allow(pointer, size, PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE);
}

/* Characters before the NUL, or -1 when there is none in readable memory. */
static int wide_length(const wchar_t *text)
{
    const char *checked = (const char *)text;
    for (unsigned length = 0; length < MAX_WIDE; length++) {
        if ((const char *)(text + length + 1) > checked) {
            if (!is_readable(text + length, sizeof *text)) return -1;
            checked = (const char *)(((ULONG_PTR)(text + length) | 4095) + 1);
        }
        if (!text[length]) return (int)length;
    }
    return -1;
}

char *read_wide(const char *function, const char *parameter, const wchar_t *text)
{
    if (!text) return NULL;
    if ((ULONG_PTR)text & 1) violation("%s: %s is not aligned to 2 bytes", function, parameter);
    int length = wide_length(text);
    if (length < 0) {
        violation("%s: %s has no terminating NUL", function, parameter);
        return NULL;
    }
    int size = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, length + 1, NULL, 0, NULL, NULL);
    char *utf8 = size > 0 ? malloc((size_t)size) : NULL;
    if (utf8 && WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, length + 1, utf8, size, NULL, NULL) == size)
        return utf8;
    free(utf8);
    violation("%s: %s is not UTF-16", function, parameter);
    return NULL;
}

bool check_out(const char *function, const char *parameter, void *out, size_t size)
{
    static const char zero[64];
    if (!is_writable(out, size)) {
        violation("%s: %s cannot be written", function, parameter);
        return false;
    }
    if (memcmp(out, zero, size)) violation("%s: %s was not zero before the call", function, parameter);
    return true;
}
