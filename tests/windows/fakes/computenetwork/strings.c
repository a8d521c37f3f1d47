/*
 * Strings for the caller, and who frees them. The memory is ours; the process's IMallocSpy, which ole32 asks
 * about every CoTaskMemFree, recognises it. What was freed is wiped and kept, so a second free is seen for sure and
 * reading after it gives rubbish. LocalFree, free and the like never come here: such a string counts as kept.
 */
#define COBJMACROS
#include "hcn.h"
#include <objidl.h>
#include <stdlib.h>
#include <string.h>

struct string {
    wchar_t *data;
    size_t size;
    bool freed;
};

static struct string *strings;
/* The first `forgotten` ones were handed out before the last reset. */
static int count, room, freed, forgotten;
static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
static SRWLOCK lock = SRWLOCK_INIT;

static struct string *find(const void *pointer)
{
    for (int i = count - 1; i >= 0; i--) if (strings[i].data == pointer) return &strings[i];
    return NULL;
}

static HRESULT WINAPI spy_QueryInterface(IMallocSpy *spy, REFIID iid, void **out)
{
    bool known = IsEqualGUID(iid, &IID_IUnknown) || IsEqualGUID(iid, &IID_IMallocSpy);
    *out = known ? spy : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

static ULONG WINAPI spy_AddRef(IMallocSpy *spy)
{
    return (void)spy, 2;
}

static SIZE_T WINAPI spy_PreAlloc(IMallocSpy *spy, SIZE_T size)
{
    return (void)spy, size;
}

static void *WINAPI spy_PostAlloc(IMallocSpy *spy, void *memory)
{
    return (void)spy, memory;
}

/* Returns what shall really be freed: of ours nothing. */
static void *WINAPI spy_PreFree(IMallocSpy *spy, void *memory, BOOL ours)
{
    (void)spy, (void)ours;
    AcquireSRWLockExclusive(&lock);
    struct string *string = find(memory);
    bool twice = string && string->freed;
    if (string && !twice) {
        string->freed = true;
        freed += string - strings >= forgotten;
        memset(string->data, 0xDD, string->size - sizeof(wchar_t));
    }
    ReleaseSRWLockExclusive(&lock);
    if (twice) violation("CoTaskMemFree: a string was freed twice");
    return string ? NULL : memory;
}

static void WINAPI spy_PostFree(IMallocSpy *spy, BOOL ours)
{
    (void)spy, (void)ours;
}

static SIZE_T WINAPI spy_PreRealloc(IMallocSpy *spy, void *memory, SIZE_T size, void **actual, BOOL ours)
{
    (void)spy, (void)ours;
    if (find(memory)) violation("CoTaskMemRealloc of a string of HNS");
    *actual = memory;
    return size;
}

static void *WINAPI spy_PostRealloc(IMallocSpy *spy, void *memory, BOOL ours)
{
    return (void)spy, (void)ours, memory;
}

static void *WINAPI spy_PreGetSize(IMallocSpy *spy, void *memory, BOOL ours)
{
    return (void)spy, (void)ours, memory;
}

static SIZE_T WINAPI spy_PostGetSize(IMallocSpy *spy, SIZE_T size, BOOL ours)
{
    return (void)spy, (void)ours, size;
}

static void *WINAPI spy_PreDidAlloc(IMallocSpy *spy, void *memory, BOOL ours)
{
    return (void)spy, (void)ours, memory;
}

static int WINAPI spy_PostDidAlloc(IMallocSpy *spy, void *memory, BOOL ours, int actual)
{
    return (void)spy, (void)memory, (void)ours, actual;
}

static void WINAPI spy_HeapMinimize(IMallocSpy *spy)
{
    (void)spy;
}

static IMallocSpyVtbl table = {
    spy_QueryInterface, spy_AddRef, spy_AddRef, spy_PreAlloc, spy_PostAlloc, spy_PreFree, spy_PostFree,
    spy_PreRealloc, spy_PostRealloc, spy_PreGetSize, spy_PostGetSize, spy_PreDidAlloc, spy_PostDidAlloc,
    spy_HeapMinimize, spy_HeapMinimize,
};
static IMallocSpy the_spy = { &table };

static BOOL CALLBACK register_spy(PINIT_ONCE unused, void *parameter, void **context)
{
    (void)unused, (void)parameter, (void)context;
    if (FAILED(CoRegisterMallocSpy(&the_spy))) violation("the fake could not register its IMallocSpy");
    return TRUE;
}

wchar_t *hand_out(const char *utf8)
{
    InitOnceExecuteOnce(&once, register_spy, NULL, NULL);
    int length = MultiByteToWideChar(CP_UTF8, 0, utf8, -1, NULL, 0);
    wchar_t *data = malloc((size_t)length * sizeof *data);
    if (!data) abort();
    MultiByteToWideChar(CP_UTF8, 0, utf8, -1, data, length);
    AcquireSRWLockExclusive(&lock);
    if (count == room) {
        room = room * 2 + 256;
        strings = realloc(strings, (size_t)room * sizeof *strings);
        if (!strings) abort();
    }
    strings[count++] = (struct string){ data, (size_t)length * sizeof *data, false };
    ReleaseSRWLockExclusive(&lock);
    return data;
}

void write_string_counters(struct text *out)
{
    AcquireSRWLockShared(&lock);
    text_member_integer(out, "stringsHandedOut", count - forgotten);
    text_member_integer(out, "stringsFreed", freed);
    text_member_integer(out, "stringsKept", count - forgotten - freed);
    ReleaseSRWLockShared(&lock);
}

/* Counting starts anew. Strings that were handed out stay known, and those not freed yet are not asked for. */
void forget_strings(void)
{
    AcquireSRWLockExclusive(&lock);
    forgotten = count;
    freed = 0;
    ReleaseSRWLockExclusive(&lock);
}
