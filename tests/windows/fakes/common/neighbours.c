/* Other fakes in this process; see fake.h. */
#include <stdlib.h>
#include <string.h>
#include "fake.h"
#include <psapi.h> /* needs windows.h before it */

typedef char *(*control)(const char *);
typedef void (*release)(char *);

#define MAX_MODULES 512

/* By what it exports, as Wine has libraries of the same names loaded beside. */
static HMODULE find_fake(const char *export)
{
    HMODULE modules[MAX_MODULES];
    DWORD size = 0;
    if (!EnumProcessModules(GetCurrentProcess(), modules, sizeof modules, &size)) return NULL;
    if (size > sizeof modules) size = sizeof modules;
    for (DWORD i = 0; i < size / sizeof *modules; i++)
        if (GetProcAddress(modules[i], "FakeControl") && GetProcAddress(modules[i], export)) return modules[i];
    return NULL;
}

bool ask_fake(const char *export, const char *request)
{
    HMODULE library = find_fake(export);
    if (!library) return false;
    control ask = (control)(void *)GetProcAddress(library, "FakeControl");
    release give_back = (release)(void *)GetProcAddress(library, "FakeFree");
    char *reply = ask(request);
    give_back(reply);
    return true;
}

static const wchar_t *file_name(const wchar_t *path)
{
    const wchar_t *slash = wcsrchr(path, L'\\');
    return slash ? slash + 1 : path;
}

static HMODULE self(void)
{
    HMODULE module = NULL;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                       (const wchar_t *)&find_fake, &module);
    return module;
}

void own_name(wchar_t name[MAX_PATH])
{
    wchar_t path[MAX_PATH] = L"";
    GetModuleFileNameW(self(), path, MAX_PATH);
    wcscpy(name, file_name(path));
    wchar_t *dot = wcsrchr(name, L'.');
    if (dot) *dot = 0;
}

bool load_neighbour(const wchar_t *name)
{
    wchar_t path[MAX_PATH] = L"";
    GetModuleFileNameW(self(), path, MAX_PATH);
    wchar_t *at = (wchar_t *)file_name(path);
    if (at - path + wcslen(name) >= MAX_PATH) return false;
    wcscpy(at, name);
    return LoadLibraryW(path) != NULL;
}
