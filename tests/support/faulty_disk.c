/* Stands between a process and the spool's disk (LD_PRELOAD): calls on files of one directory fail, are short or
 * stall, as a table in a mapped file says. Each call on another file passes as if nothing stood here.
 *
 * The table (FAULTY_DISK_TABLE, see faulty_disk.py) may change at any time; the directory is FAULTY_DISK_PLACE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, READ = 4, SEND = 8 };
enum { NONE, FAIL, SHORTEN, STALL, END };

struct table {
    volatile int calls;  /* which kinds of calls it is about */
    volatile int what;   /* what happens to them */
    volatile int number; /* errno, for FAIL */
    volatile int hits;   /* how often it has happened */
    volatile long after; /* bytes that pass before it does */
};

static struct table *table;
static char place[PATH_MAX];

static void *next_named(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

#define NEXT(name, ...) ((__typeof__(&name))next_named(#name))(__VA_ARGS__)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTY_DISK_TABLE"), *directory = getenv("FAULTY_DISK_PLACE");
    if (!path || !directory || !realpath(directory, place)) return;
    int file = NEXT(open, path, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) table = mapped;
}

static int is_ours(int file) {
    char link[40], target[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, target, sizeof target - 1);
    size_t length = strlen(place);
    return size > (ssize_t)length && !memcmp(target, place, length) && target[length] == '/';
}

static int is_about(int call) { return table && table->what != NONE && table->calls & call; }

/* What becomes of a call for `wanted` bytes: so many may pass, or -1 with errno set. */
static long allow(int call, int file, long wanted) {
    if (!is_about(call) || !is_ours(file)) return wanted;
    long left = __atomic_fetch_sub(&table->after, wanted, __ATOMIC_SEQ_CST);
    if (left >= wanted) return wanted;
    if (left > 0 && table->what != STALL) return left; /* as a disk that is full in the middle of a write */
    __atomic_fetch_add(&table->hits, 1, __ATOMIC_SEQ_CST);
    switch (table->what) {
    case FAIL:
        errno = table->number;
        return -1;
    case SHORTEN:
        return wanted > 1 ? wanted / 2 : wanted;
    case END:
        return 0;
    default:
        while (is_about(call)) usleep(2000);
        return wanted;
    }
}

static long sum(const struct iovec *pieces, int count) {
    long size = 0;
    for (int i = 0; i < count; i++) size += pieces[i].iov_len;
    return size;
}

/* The first `allowed` bytes of the pieces, in a copy of their list. */
static int cut(struct iovec *copy, const struct iovec *pieces, int count, long allowed) {
    int kept = 0;
    for (; kept < count && allowed > 0; kept++) {
        copy[kept] = pieces[kept];
        if ((long)copy[kept].iov_len > allowed) copy[kept].iov_len = allowed;
        allowed -= copy[kept].iov_len;
    }
    return kept;
}

#define VECTORED(name, call, offset_type)                                              \
    ssize_t name(int file, const struct iovec *pieces, int count, offset_type offset) { \
        long wanted = sum(pieces, count), allowed = allow(call, file, wanted);          \
        if (allowed < 0 || (allowed == 0 && wanted)) return allowed;                    \
        if (allowed == wanted) return NEXT(name, file, pieces, count, offset);          \
        struct iovec copy[IOV_MAX];                                                     \
        return NEXT(name, file, copy, cut(copy, pieces, count, allowed), offset);       \
    }
#define VECTORED_WITH_FLAGS(name, call, offset_type)                                              \
    ssize_t name(int file, const struct iovec *pieces, int count, offset_type offset, int flags) { \
        long wanted = sum(pieces, count), allowed = allow(call, file, wanted);                     \
        if (allowed < 0 || (allowed == 0 && wanted)) return allowed;                               \
        if (allowed == wanted) return NEXT(name, file, pieces, count, offset, flags);              \
        struct iovec copy[IOV_MAX];                                                                \
        return NEXT(name, file, copy, cut(copy, pieces, count, allowed), offset, flags);           \
    }
#define PLAIN(name, call, buffer_type, offset_type)                           \
    ssize_t name(int file, buffer_type buffer, size_t size, offset_type offset) { \
        long allowed = allow(call, file, size);                               \
        if (allowed < 0 || (allowed == 0 && size)) return allowed;            \
        return NEXT(name, file, buffer, allowed, offset);                     \
    }

VECTORED(pwritev, WRITE, off_t)
VECTORED(pwritev64, WRITE, off64_t)
VECTORED(preadv, READ, off_t)
VECTORED(preadv64, READ, off64_t)
VECTORED_WITH_FLAGS(pwritev2, WRITE, off_t)
VECTORED_WITH_FLAGS(pwritev64v2, WRITE, off64_t)
VECTORED_WITH_FLAGS(preadv2, READ, off_t)
VECTORED_WITH_FLAGS(preadv64v2, READ, off64_t)
PLAIN(pwrite, WRITE, const void *, off_t)
PLAIN(pwrite64, WRITE, const void *, off64_t)
PLAIN(pread, READ, void *, off_t)
PLAIN(pread64, READ, void *, off64_t)

ssize_t sendfile(int to, int file, off_t *offset, size_t size) {
    long allowed = allow(SEND, file, size);
    return allowed <= 0 ? allowed : NEXT(sendfile, to, file, offset, allowed);
}

ssize_t sendfile64(int to, int file, off64_t *offset, size_t size) {
    long allowed = allow(SEND, file, size);
    return allowed <= 0 ? allowed : NEXT(sendfile64, to, file, offset, allowed);
}

/* O_TMPFILE names the directory itself. */
static int may_open(const char *path) {
    char target[PATH_MAX];
    if (!is_about(OPEN) || !realpath(path, target) || strcmp(target, place)) return 1;
    __atomic_fetch_add(&table->hits, 1, __ATOMIC_SEQ_CST);
    errno = table->number;
    return 0;
}

static int mode_of(int flags, va_list more) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
}

#define OPENING(name)                                             \
    int name(const char *path, int flags, ...) {                  \
        va_list more;                                             \
        va_start(more, flags);                                    \
        int mode = mode_of(flags, more);                          \
        va_end(more);                                             \
        return may_open(path) ? NEXT(name, path, flags, mode) : -1; \
    }

OPENING(open)
OPENING(open64)
