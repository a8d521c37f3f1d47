/* GUIDs as text. */
#include <stdio.h>
#include <string.h>
#include "hcn.h"

static bool is_shaped(const char *text, bool strict)
{
    for (int i = 0; i < 36; i++) {
        char c = text[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (!strict && c >= 'A' && c <= 'F');
        if (dash ? c != '-' : !hex) return false;
    }
    return true;
}

/* Strict text has no braces and lower case only. */
bool parse_guid(const char *text, GUID *id, bool strict)
{
    unsigned data[8], first;
    unsigned short second, third;
    size_t length = strlen(text);
    if (!strict && length == 38 && text[0] == '{' && text[37] == '}') text++, length = 36;
    if (length != 36 || !is_shaped(text, strict)) return false;
    if (sscanf(text, "%8x-%4hx-%4hx-%2x%2x-%2x%2x%2x%2x%2x%2x", &first, &second, &third, &data[0], &data[1],
               &data[2], &data[3], &data[4], &data[5], &data[6], &data[7]) != 11) return false;
    *id = (GUID){ .Data1 = first, .Data2 = second, .Data3 = third };
    for (int i = 0; i < 8; i++) id->Data4[i] = (unsigned char)data[i];
    return true;
}

char *format_guid(char out[39], const GUID *id, bool upper)
{
    const unsigned char *d = id->Data4;
    snprintf(out, 39, upper ? "%08lX-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X"
                            : "%08lx-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             id->Data1, id->Data2, id->Data3, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
    return out;
}
