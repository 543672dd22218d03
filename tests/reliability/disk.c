/* A disk under one folder of a process: loaded with LD_PRELOAD, it stands between the process and the
 * C library, counts what changes the folder, kills at a chosen call, fails calls as it is told to, and
 * writes down what was done and what was flushed, so that a loss of power can be played afterwards
 * (tests/it/reliability/disk.rs). Linux with glibc.
 *
 *   DISK_ROOT    the folder, without symbolic links
 *   DISK_KILL    the number of the changing call at which the process is killed
 *   DISK_HOW     before | half | after: that call is not done, done by half (writes), or done
 *   DISK_LOG     where to write down what is done
 *   DISK_LIES    flushes of paths with this in them are not done and said to be
 *   DISK_FAULTS  a file with lines "KIND ERRNO PATH": calls of the kind on paths with PATH in them fail.
 *                Kinds: write (also create, rename, remove, truncate), flush, open, read, accept. Read at
 *                every call; of writes that fail with ENOSPC every other is done by half.
 *
 * Calls on the folder are done one after the other, so that the order written down is the true one.
 * What is written through a mapping would not be seen: the process is aborted instead. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum op {
    OP_OPEN = 1, OP_WRITE, OP_TRUNCATE, OP_FLUSH, OP_MKDIR, OP_RENAME, OP_REMOVE, OP_RMDIR, OP_FLUSH_FOLDER,
    OP_FLUSH_FAILED, OP_MODE
};

struct record {
    uint32_t op, path_bytes;
    uint64_t inode, offset, length;
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_MAX];
static size_t root_bytes;
static const char *faults_path, *lies;
static int log_fd = -1;
static uint64_t kill_at, calls, full;
static char how = 'b';

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("DISK_ROOT");
    if (text && strlen(text) < sizeof root) strcpy(root, text), root_bytes = strlen(root);
    if ((text = getenv("DISK_KILL"))) kill_at = strtoull(text, NULL, 10);
    if ((text = getenv("DISK_HOW"))) how = text[0];
    lies = getenv("DISK_LIES");
    faults_path = getenv("DISK_FAULTS");
    if ((text = getenv("DISK_LOG")))
        log_fd = syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static int ours(const char *path) {
    return root_bytes && path && strncmp(path, root, root_bytes) == 0 &&
           (path[root_bytes] == '/' || path[root_bytes] == 0);
}

static int path_of(int fd, char *path) {
    if (!root_bytes) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return ours(path);
}

static int path_at(int folder, const char *name, char *path) {
    if (!root_bytes || !name) return 0;
    if (name[0] == '/' || folder == AT_FDCWD) {
        if (strlen(name) >= PATH_MAX) return 0;
        strcpy(path, name);
        return ours(path);
    }
    if (!path_of(folder, path) || strlen(path) + strlen(name) + 2 > PATH_MAX) return 0;
    strcat(path, "/");
    strcat(path, name);
    return 1;
}

/* The error that a call is to fail with, or 0. */
static int fault(const char *kind, const char *path) {
    if (!faults_path) return 0;
    char text[4096];
    int fd = syscall(SYS_openat, AT_FDCWD, faults_path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    ssize_t length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    text[length < 0 ? 0 : length] = 0;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        char of[16], in[PATH_MAX];
        int number;
        in[0] = 0;
        if (sscanf(line, "%15s %d %4095s", of, &number, in) >= 2 && strcmp(of, kind) == 0 && strstr(path, in))
            return number;
    }
    return 0;
}

static void note_bytes(const void *bytes, size_t length) {
    while (length) {
        ssize_t done = syscall(SYS_write, log_fd, bytes, length);
        if (done < 0) { if (errno == EINTR) continue; abort(); }
        bytes = (const char *)bytes + done;
        length -= done;
    }
}

static void note(enum op op, uint64_t inode, const char *path, uint64_t offset, uint64_t length, const void *data) {
    if (log_fd < 0) return;
    struct record record = {op, path ? strlen(path) : 0, inode, offset, length};
    note_bytes(&record, sizeof record);
    if (path) note_bytes(path, record.path_bytes);
    if (data) note_bytes(data, length);
}

static uint64_t inode_of(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a call that changes something; whether it is the last one. */
static int is_last(void) { return ++calls == kill_at; }

#define CHANGE(call) \
    do { \
        int last = is_last(); \
        if (last && how != 'a') die(); \
        call; \
        if (last) die(); \
    } while (0)

static int fail(int error) {
    pthread_mutex_unlock(&lock);
    errno = error;
    return -1;
}

/* ---- opening */

static int opened(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if (!path_at(folder, name, path)) return syscall(SYS_openat, folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    int error = fault("open", path), writes = (flags & O_ACCMODE) != O_RDONLY;
    int unnamed = (flags & O_TMPFILE) == O_TMPFILE, result;
    if (!error && (flags & (O_CREAT | O_TRUNC))) {
        struct stat stat;
        int creates = syscall(SYS_newfstatat, AT_FDCWD, path, &stat, 0) != 0;
        if (creates || (flags & O_TRUNC)) error = fault("write", path);
        if (!error) {
            CHANGE({
                result = syscall(SYS_openat, folder, name, flags, mode);
                if (result >= 0) {
                    note(OP_OPEN, inode_of(result), path, creates, 0, NULL);
                    if ((flags & O_TRUNC) && !creates) note(OP_TRUNCATE, inode_of(result), NULL, 0, 0, NULL);
                }
            });
            pthread_mutex_unlock(&lock);
            return result;
        }
    }
    /* A disk that is read-only is not opened for writing. */
    if (!error && writes && fault("write", path) == EROFS) error = EROFS;
    if (error) return fail(error);
    result = syscall(SYS_openat, folder, name, flags, mode);
    if (result >= 0 && writes) note(OP_OPEN, inode_of(result), unnamed ? "" : path, 0, 0, NULL);
    pthread_mutex_unlock(&lock);
    return result;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }

/* ---- writing */

static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset, int moves) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return moves ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0);
    pthread_mutex_lock(&lock);
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    char *bytes = malloc(length ? length : 1);
    if (!bytes) abort();
    size_t at = 0;
    for (int i = 0; i < count; i++) memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len), at += parts[i].iov_len;
    int error = fault("write", path);
    /* A sector is written or not. */
    if (error == ENOSPC && length >= 1024 && full++ % 2 == 0) length = length / 2 / 512 * 512, error = 0;
    if (error) { free(bytes); return fail(error); }
    if (moves && (fcntl(fd, F_GETFL) & O_APPEND)) {
        struct stat stat;
        offset = fstat(fd, &stat) == 0 ? stat.st_size : 0;
    } else if (moves) {
        offset = lseek(fd, 0, SEEK_CUR);
    }
    int last = is_last();
    if (last && how == 'b') die();
    if (last && how == 'h') length = length / 2 / 512 * 512;
    ssize_t result = moves ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, offset);
    if (result > 0) note(OP_WRITE, inode_of(fd), NULL, offset, result, bytes);
    if (last) die();
    free(bytes);
    pthread_mutex_unlock(&lock);
    return result;
}

#define ONE struct iovec part = {(void *)bytes, length}
ssize_t write(int fd, const void *bytes, size_t length) { ONE; return written(fd, &part, 1, 0, 1); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return written(fd, parts, count, 0, 1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { ONE; return written(fd, &part, 1, offset, 0); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { ONE; return written(fd, &part, 1, offset, 0); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return written(fd, parts, count, offset, 0); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return written(fd, parts, count, offset, 0); }

/* Who asks for these falls back to reading and writing. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    (void)in, (void)in_at, (void)out, (void)out_at, (void)length, (void)flags;
    errno = ENOSYS;
    return -1;
}

static int truncated(int fd, off64_t length) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    struct stat stat;
    /* A full disk can still be made shorter. */
    int grows = fstat(fd, &stat) == 0 && length > stat.st_size, error = fault("write", path), result;
    if (error && (grows || error != ENOSPC)) return fail(error);
    CHANGE({
        result = syscall(SYS_ftruncate, fd, length);
        if (result == 0) note(OP_TRUNCATE, inode_of(fd), NULL, length, 0, NULL);
    });
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

/* ---- flushing */

static int flushed(int fd, int whole) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(whole ? SYS_fsync : SYS_fdatasync, fd);
    pthread_mutex_lock(&lock);
    struct stat stat;
    int is_folder = fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode), error = fault("flush", path), result = 0;
    if (error) {
        note(OP_FLUSH_FAILED, stat.st_ino, path, 0, 0, NULL);
        return fail(error);
    }
    CHANGE({
        if (!lies || !strstr(path, lies)) {
            /* What is played afterwards is what counts: the true disk may be lazy when all is written down. */
            if (log_fd < 0) result = syscall(whole ? SYS_fsync : SYS_fdatasync, fd);
            if (result == 0) note(is_folder ? OP_FLUSH_FOLDER : OP_FLUSH, stat.st_ino, path, 0, 0, NULL);
        }
    });
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return flushed(fd, 1); }
int fdatasync(int fd) { return flushed(fd, 0); }

/* ---- names */

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char paths[2 * PATH_MAX + 1], second[PATH_MAX];
    int is_ours = path_at(from_folder, from, paths) && path_at(to_folder, to, second), result;
    if (!is_ours) return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&lock);
    int error = fault("write", second);
    if (error) return fail(error);
    strcat(paths, "\n");
    strcat(paths, second);
    CHANGE({
        result = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
        if (result == 0) note(OP_RENAME, 0, paths, 0, 0, NULL);
    });
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int removed(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!path_at(folder, name, path)) return syscall(SYS_unlinkat, folder, name, flags);
    pthread_mutex_lock(&lock);
    int error = fault("write", path), result;
    /* A full disk lets go of files. */
    if (error && error != ENOSPC) return fail(error);
    CHANGE({
        result = syscall(SYS_unlinkat, folder, name, flags);
        if (result == 0) note(flags & AT_REMOVEDIR ? OP_RMDIR : OP_REMOVE, 0, path, 0, 0, NULL);
    });
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return removed(folder, path, flags); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!path_at(folder, name, path)) return syscall(SYS_mkdirat, folder, name, mode);
    pthread_mutex_lock(&lock);
    int error = fault("write", path), result;
    if (error) return fail(error);
    CHANGE({
        result = syscall(SYS_mkdirat, folder, name, mode);
        if (result == 0) note(OP_MKDIR, 0, path, 0, 0, NULL);
    });
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return made(folder, path, mode); }

static int moded(int fd, mode_t mode) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(SYS_fchmod, fd, mode);
    pthread_mutex_lock(&lock);
    int error = fault("write", path), result;
    if (error && error != ENOSPC) return fail(error);
    CHANGE({
        result = syscall(SYS_fchmod, fd, mode);
        if (result == 0) note(OP_MODE, inode_of(fd), NULL, mode, 0, NULL);
    });
    pthread_mutex_unlock(&lock);
    return result;
}

int fchmod(int fd, mode_t mode) { return moded(fd, mode); }

/* ---- reading */

static int refused(int fd) {
    char path[PATH_MAX];
    if (!faults_path || !path_of(fd, path)) return 0;
    int error = fault("read", path);
    if (error) errno = error;
    return error;
}

ssize_t read(int fd, void *bytes, size_t length) { return refused(fd) ? -1 : syscall(SYS_read, fd, bytes, length); }
ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
    return refused(fd) ? -1 : syscall(SYS_pread64, fd, bytes, length, offset);
}
ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) {
    return refused(fd) ? -1 : syscall(SYS_pread64, fd, bytes, length, offset);
}

/* ---- what would not be seen */

static void *mapped(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    char path[PATH_MAX];
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && path_of(fd, path)) {
        fprintf(stderr, "disk.c: %s is written through a mapping\n", path);
        abort();
    }
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return mapped(at, length, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    return mapped(at, length, protection, flags, fd, offset);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    int error = fault("accept", "");
    if (error) { errno = error; return -1; }
    return syscall(SYS_accept4, fd, address, length, flags);
}
