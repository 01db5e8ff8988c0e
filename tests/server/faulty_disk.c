/* A disk for tests: records what a process writes to a database's files and syncs, or fails one of these calls.
 *
 * FAULTY_DISK_RECORD  a file to which each write, sync and truncation is appended (see `record`)
 * FAULTY_DISK_FAIL    the number of the call that fails, from 1; FAULTY_DISK_ERROR is its errno
 * FAULTY_DISK_HIT     a file that is made when that call has failed
 * FAULTY_DISK_NO_LOCKS  where it is set, files cannot be locked with flock
 *
 * Only files whose names end with ".db", ".db-wal" or ".db.partial" count. What is written to the shared memory of a log is no part of it:
 * it is made anew after a crash.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <unistd.h>

enum { MAIN = 1, LOG = 2 };
enum { WRITE = 1, SYNC = 2, TRUNCATE = 3 };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int record_fd = -2;
static long calls, fail_at = -1;
static int fail_with;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Which file a descriptor is of: 0 for those that do not matter. */
static int file_of(int fd) {
    char link[64], name[4096];
    char digits[16];
    int length = 0, n = fd;
    if (fd < 0) return 0;
    do { digits[length++] = (char)('0' + n % 10); n /= 10; } while (n);
    memcpy(link, "/proc/self/fd/", 14);
    for (int i = 0; i < length; i++) link[14 + i] = digits[length - 1 - i];
    link[14 + length] = 0;
    ssize_t got = readlink(link, name, sizeof name - 1);
    if (got < 7) return 0;
    name[got] = 0;
    if (!strcmp(name + got - 3, ".db")) return MAIN;
    if (!strcmp(name + got - 7, ".db-wal")) return LOG;
    if (got >= 11 && !strcmp(name + got - 11, ".db.partial")) return MAIN;
    return 0;
}

/* Appends: operation (1 byte), file (1), place (8), length (8), bytes. Numbers are little-endian. */
static void record(int operation, int file, uint64_t at, uint64_t length, const void *bytes) {
    if (record_fd == -2) {
        const char *path = getenv("FAULTY_DISK_RECORD");
        record_fd = path ? REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    }
    if (record_fd < 0) return;
    uint64_t body = bytes ? length : 0;
    char *entry = malloc(18 + body);
    entry[0] = (char)operation;
    entry[1] = (char)file;
    memcpy(entry + 2, &at, 8);
    memcpy(entry + 10, &length, 8);
    if (body) memcpy(entry + 18, bytes, body);
    if (REAL(write)(record_fd, entry, 18 + body) != (ssize_t)(18 + body)) abort();
    free(entry);
}

/* True where this call is the one that fails. */
static int fails(void) {
    if (fail_at == -1) {
        const char *at = getenv("FAULTY_DISK_FAIL"), *with = getenv("FAULTY_DISK_ERROR");
        fail_at = at ? atol(at) : 0;
        fail_with = with ? atoi(with) : EIO;
    }
    if (!fail_at || ++calls != fail_at) return 0;
    const char *hit = getenv("FAULTY_DISK_HIT");
    if (hit) close(REAL(open)(hit, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    errno = fail_with;
    return 1;
}

static ssize_t put(int fd, int file, const void *bytes, size_t length, off64_t at) {
    pthread_mutex_lock(&turn);
    ssize_t done = -1;
    if (!fails()) {
        done = REAL(pwrite64)(fd, bytes, length, at);
        if (done > 0) record(WRITE, file, (uint64_t)at, (uint64_t)done, bytes);
    }
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    int file = file_of(fd);
    return file ? put(fd, file, bytes, length, at) : REAL(pwrite64)(fd, bytes, length, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return pwrite64(fd, bytes, length, at);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    int file = file_of(fd);
    if (!file) return REAL(write)(fd, bytes, length);
    off64_t at = lseek64(fd, 0, SEEK_CUR);
    ssize_t done = put(fd, file, bytes, length, at);
    if (done > 0) lseek64(fd, at + done, SEEK_SET);
    return done;
}

static int synced(int fd, int (*real)(int)) {
    int file = file_of(fd);
    if (!file) return real(fd);
    pthread_mutex_lock(&turn);
    int done = -1;
    if (!fails()) {
        done = real(fd);
        if (!done) record(SYNC, file, 0, 0, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }

int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int ftruncate64(int fd, off64_t length) {
    int file = file_of(fd);
    if (!file) return REAL(ftruncate64)(fd, length);
    pthread_mutex_lock(&turn);
    int done = -1;
    if (!fails()) {
        done = REAL(ftruncate64)(fd, length);
        if (!done) record(TRUNCATE, file, (uint64_t)length, 0, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int flock(int fd, int operation) {
    if (!getenv("FAULTY_DISK_NO_LOCKS")) return REAL(flock)(fd, operation);
    errno = ENOLCK;
    return -1;
}
