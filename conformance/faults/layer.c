/* A fault layer: makes what a program asks of the files below a directory fail, now and then.
 *
 * Loaded with LD_PRELOAD. FAULTS_UNDER is the directory; FAULTS_CONTROL is a file of `struct control`, mapped, so that
 * rates can be changed while the program runs and what was done can be read. Without both it does nothing. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind {
    READ_ERROR, READ_SHORT, READ_LATE, READ_FLIPPED,
    WRITE_ERROR, WRITE_FULL, WRITE_SHORT, WRITE_FLIPPED,
    ALLOCATE_FULL, SYNC_ERROR, OPEN_ERROR, REMOVE_ERROR,
    KINDS
};

/* In the order of `Kind` in layer.rs. */
struct control {
    uint32_t per_million[16];
    uint32_t late_milliseconds;
    uint32_t unused;
    uint64_t calls;         /* calls on files below the directory */
    uint64_t injected[16];
};

static struct control *control;
static const char *under;
static size_t under_length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL");
    under = getenv("FAULTS_UNDER");
    if (!path || !under)
        return;
    under_length = strlen(under);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static uint64_t chance(void) {
    static __thread uint64_t state;
    if (!state) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)&state ^ (uint64_t)getpid() << 32;
    }
    state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static int is_below(const char *path) {
    return control && !strncmp(path, under, under_length) && path[under_length] == '/';
}

static int is_ours(int file) {
    if (!control)
        return 0;
    char link[32], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (!is_below(path))
        return 0;
    __atomic_fetch_add(&control->calls, 1, __ATOMIC_RELAXED);
    return 1;
}

/* Whether this call is to have this fault. */
static int strikes(enum kind kind) {
    uint32_t rate = __atomic_load_n(&control->per_million[kind], __ATOMIC_RELAXED);
    if (!rate || chance() % 1000000 >= rate)
        return 0;
    __atomic_fetch_add(&control->injected[kind], 1, __ATOMIC_RELAXED);
    return 1;
}

static ssize_t fail(int error) {
    errno = error;
    return -1;
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void be_late(void) {
    uint32_t milliseconds = control->late_milliseconds;
    struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000L };
    nanosleep(&time, NULL);
}

/* What happens before a read: an error, a delay, or a shorter length. */
static int before_read(size_t *length) {
    if (strikes(READ_LATE))
        be_late();
    if (strikes(READ_ERROR))
        return 0;
    if (*length > 1 && strikes(READ_SHORT))
        *length = 1 + chance() % (*length - 1);
    return 1;
}

static void after_read(void *bytes, ssize_t count) {
    if (count > 0 && strikes(READ_FLIPPED)) {
        uint64_t at = chance() % ((uint64_t)count * 8);
        ((uint8_t *)bytes)[at / 8] ^= 1 << at % 8;
    }
}

#define READ(name, offset_type) \
    ssize_t name(int file, void *bytes, size_t length, offset_type offset) { \
        NEXT(name); \
        if (!is_ours(file)) \
            return next(file, bytes, length, offset); \
        if (!before_read(&length)) \
            return fail(EIO); \
        ssize_t count = next(file, bytes, length, offset); \
        after_read(bytes, count); \
        return count; \
    }
READ(pread, off_t)
READ(pread64, off64_t)

/* The store reads into one part. */
#define READ_PARTS(name, offset_type) \
    ssize_t name(int file, const struct iovec *parts, int count, offset_type offset, int flags) { \
        NEXT(name); \
        if (count != 1 || !is_ours(file)) \
            return next(file, parts, count, offset, flags); \
        struct iovec part = parts[0]; \
        if (!before_read(&part.iov_len)) \
            return fail(EIO); \
        ssize_t read = next(file, &part, 1, offset, flags); \
        after_read(part.iov_base, read); \
        return read; \
    }
READ_PARTS(preadv2, off_t)
READ_PARTS(preadv64v2, off64_t)

#define WRITE(name, offset_type) \
    ssize_t name(int file, const void *bytes, size_t length, offset_type offset) { \
        NEXT(name); \
        if (!is_ours(file)) \
            return next(file, bytes, length, offset); \
        if (strikes(WRITE_ERROR)) { \
            if (length > 1 && chance() % 2) \
                next(file, bytes, 1 + chance() % (length - 1), offset); \
            return fail(EIO); \
        } \
        if (strikes(WRITE_FULL)) \
            return fail(ENOSPC); \
        if (length > 1 && strikes(WRITE_SHORT)) \
            length = 1 + chance() % (length - 1); \
        if (length && strikes(WRITE_FLIPPED)) { \
            uint8_t *copy = malloc(length); \
            if (copy) { \
                memcpy(copy, bytes, length); \
                uint64_t at = chance() % ((uint64_t)length * 8); \
                copy[at / 8] ^= 1 << at % 8; \
                ssize_t count = next(file, copy, length, offset); \
                free(copy); \
                return count; \
            } \
        } \
        return next(file, bytes, length, offset); \
    }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

#define ALLOCATE(name, offset_type) \
    int name(int file, int mode, offset_type offset, offset_type length) { \
        NEXT(name); \
        if (is_ours(file) && strikes(ALLOCATE_FULL)) \
            return (int)fail(ENOSPC); \
        return next(file, mode, offset, length); \
    }
ALLOCATE(fallocate, off_t)
ALLOCATE(fallocate64, off64_t)

#define SYNC(name) \
    int name(int file) { \
        NEXT(name); \
        if (is_ours(file) && strikes(SYNC_ERROR)) \
            return (int)fail(EIO); \
        return next(file); \
    }
SYNC(fsync)
SYNC(fdatasync)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        NEXT(name); \
        va_list arguments; \
        va_start(arguments, flags); \
        int makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE; \
        mode_t mode = makes ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments); \
        if (is_below(path) && strikes(OPEN_ERROR)) \
            return (int)fail(EIO); \
        return next(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

int unlink(const char *path) {
    NEXT(unlink);
    if (is_below(path) && strikes(REMOVE_ERROR))
        return (int)fail(EIO);
    return next(path);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    if (is_below(from) && strikes(REMOVE_ERROR))
        return (int)fail(EIO);
    return next(from, to);
}
