/*
 * Preloaded into a process whose `clock_gettime`, where it asks the C library for that by name as FFI does, is to be
 * ahead: by as many seconds as the first eight bytes of the file say that ZT_AHEAD names, little endian, which may
 * change while it runs. The wall clock stays as it is. For x86-64 Linux with glibc; needs no header.
 */
struct timespec {
    long tv_sec, tv_nsec;
};

enum { SYS_OPEN = 2, SYS_MMAP = 9, SYS_CLOCK_GETTIME = 228, PROT_READ = 1, MAP_SHARED = 1 };
enum { CLOCK_MONOTONIC = 1, CLOCK_BOOTTIME = 7 };
#define RTLD_NEXT ((void *)-1)

extern char **environ __attribute__((weak));
static const volatile long *ahead;

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((constructor)) static void start(void)
{
    static const char name[] = "ZT_AHEAD=";
    for (char **one = environ; one && *one; one++) {
        int i = 0;
        while (name[i] && (*one)[i] == name[i]) i++;
        if (name[i]) continue;
        long file = call(SYS_OPEN, (long)(*one + i), 0, 0, 0, 0, 0);
        long page = file < 0 ? -1 : call(SYS_MMAP, 0, 4096, PROT_READ, MAP_SHARED, file, 0);
        if (page > 0 || page < -4095) ahead = (const volatile long *)page;
    }
}

static int clock_gettime_ahead(int clock, struct timespec *time)
{
    long result = call(SYS_CLOCK_GETTIME, clock, (long)time, 0, 0, 0, 0);
    int moves = clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME;
    if (!result && moves && ahead) time->tv_sec += *ahead;
    return (int)result;
}

extern void *dlvsym(void *handle, const char *name, const char *version);

void *dlsym(void *handle, const char *name)
{
    static const char replaced[] = "clock_gettime";
    static void *(*real)(void *, const char *);
    int i = 0;
    while (replaced[i] && name[i] == replaced[i]) i++;
    if (!replaced[i] && !name[i]) return (void *)clock_gettime_ahead;
    if (!real) real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    return real(handle, name);
}
