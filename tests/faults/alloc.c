/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preloaded into a program: allocations fail where a test wants it. Everything of the C library that
 * allocates comes by here as well (strdup, asprintf, stdio), and so does every library. */
#include "tests/faults/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);                     /* NOLINT(bugprone-reserved-identifier): glibc's own */
void *__libc_calloc(size_t n, size_t size);           /* NOLINT(bugprone-reserved-identifier) */
void *__libc_realloc(void *old, size_t size);         /* NOLINT(bugprone-reserved-identifier) */
void *__libc_memalign(size_t alignment, size_t size); /* NOLINT(bugprone-reserved-identifier) */

static struct faults_page *page;
static __thread uint64_t me; /* asked for once: a thread may lose the right to ask */
static __thread bool inside; /* what backtrace() and dladdr() allocate is not looked at */
static atomic_flag busy = ATOMIC_FLAG_INIT;

struct faults_page *faults_page(void)
{
    return page;
}

static void signal_default(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    sigaction(number, &action, NULL);
}

/* A crash says where it was. */
static void on_crash(int number)
{
    void *frames[FAULTS_FRAMES];

    backtrace_symbols_fd(frames, backtrace(frames, FAULTS_FRAMES), STDERR_FILENO);
    signal_default(number);
    raise(number);
}

static void catch_crash(int number)
{
    struct sigaction action = {.sa_handler = on_crash};

    sigaction(number, &action, NULL);
}

/* cmocka would make a failed test of a crash, and nobody would know where it was. */
void (*signal(int number, void (*handler)(int)))(int)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before = {0};

    if (page && (number == SIGSEGV || number == SIGBUS || number == SIGABRT))
        return SIG_DFL;
    return sigaction(number, &action, &before) < 0 ? SIG_ERR : before.sa_handler;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS_PAGE");
    void *frames[4];
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    inside = true;
    backtrace(frames, 4); /* loads what it needs */
    inside = false;
    catch_crash(SIGSEGV);
    catch_crash(SIGBUS);
    catch_crash(SIGABRT);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        page = map;
}

static const char *file_of(const void *frame, const char **symbol, uintptr_t *offset)
{
    Dl_info info = {0};

    *symbol = NULL;
    *offset = 0;
    if (dladdr(frame, &info) == 0 || !info.dli_fname)
        return "?";
    const char *slash = strrchr(info.dli_fname, '/');
    *symbol = info.dli_sname;
    *offset = (uintptr_t)frame - (uintptr_t)info.dli_fbase;
    return slash ? slash + 1 : info.dli_fname;
}

static bool is(const char *file, const char *name)
{
    return strncmp(file, name, strlen(name)) == 0;
}

/* Libraries that end the process when there is no memory: libnftables calls exit(), libuv abort() where it
 * remembers a descriptor (realloc), and libseccomp's compiler reads what it could not make; that is at a
 * start only. Nothing that the program could do. */
static bool spared(void *const *frames, int len, bool again)
{
    const char *symbol;
    uintptr_t offset;

    for (int i = 0; i < len; i++) {
        const char *file = file_of(frames[i], &symbol, &offset);
        if (is(file, "libnftables"))
            return true;
        if (is(file, "libseccomp") && symbol && strcmp(symbol, "seccomp_export_bpf") == 0)
            return true;
        if (again && is(file, "libuv"))
            return true;
        if (!is(file, "libc") && !is(file, "faults"))
            again = false;
    }
    return false;
}

static void owner(void *const *frames, int len, char out[FAULTS_NAME])
{
    const char *symbol, *file = "?";
    uintptr_t offset;

    for (int i = 0; i < len; i++) {
        file = file_of(frames[i], &symbol, &offset);
        if (!is(file, "libc.") && !is(file, "faults"))
            break;
    }
    snprintf(out, FAULTS_NAME, "%s", file);
}

static void tell(void *const *frames, int len)
{
    size_t at = 0;

    page->where[0] = '\0';
    for (int i = 0; i < len && at < sizeof page->where; i++) {
        const char *symbol;
        uintptr_t offset;
        const char *file = file_of(frames[i], &symbol, &offset);
        at += (size_t)snprintf(page->where + at, sizeof page->where - at, "%s+0x%lx %s\n", file,
                               (unsigned long)offset, symbol ? symbol : "");
    }
}

static uint64_t hash_of(void *const *frames, int len)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (int i = 0; i < len; i++)
        hash = (hash ^ (uint64_t)(uintptr_t)frames[i]) * 0x100000001b3u;
    return hash ? hash : 1;
}

static void record(void *const *frames, int len, uint64_t hash, bool again)
{
    while (atomic_flag_test_and_set(&busy))
        ;
    uint64_t slot = hash % FAULTS_STACKS;
    for (int i = 0; i < FAULTS_STACKS; i++, slot = (slot + 1) % FAULTS_STACKS) {
        struct faults_place *place = &page->places[slot];
        if (place->hash == 0 && page->places_len < FAULTS_STACKS - 1) {
            place->hash = hash;
            place->spared = spared(frames, len, again);
            owner(frames, len, place->owner);
            page->places_len++;
        }
        if (place->hash == hash) {
            place->count++;
            break;
        }
    }
    atomic_flag_clear(&busy);
}

/* True: this allocation fails. again: it is a realloc. */
static bool look(bool again)
{
    void *frames[FAULTS_FRAMES];
    bool fails = false;

    if (!page || inside)
        return false;
    uint64_t mode = page->alloc_mode, thread = page->alloc_thread;
    if (me == 0)
        me = (uint64_t)syscall(SYS_gettid);
    if (mode == FAULTS_ALLOC_OFF || (thread != 0 && thread != me))
        return false;
    inside = true;
    uint64_t number = ++page->alloc_count;
    if (mode != FAULTS_ALLOC_NUMBER || (number >= page->alloc_target && number <= page->alloc_last)) {
        int len = backtrace(frames, FAULTS_FRAMES);
        uint64_t hash = hash_of(frames, len);
        if (mode == FAULTS_ALLOC_RECORD)
            record(frames, len, hash, again);
        else
            fails =
                (mode == FAULTS_ALLOC_NUMBER || (hash == page->alloc_target && page->alloc_failed == 0)) &&
                !spared(frames, len, again);
        if (fails) {
            page->alloc_failed++;
            tell(frames, len);
        }
    }
    inside = false;
    if (fails)
        errno = ENOMEM;
    return fails;
}

void *malloc(size_t size)
{
    return look(false) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return look(false) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return size > 0 && look(true) ? NULL : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    return look(false) ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return look(false) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *made = look(false) ? NULL : __libc_memalign(alignment, size);

    if (!made)
        return ENOMEM;
    *out = made;
    return 0;
}
