/* A disk that fails: preloaded, it lets calls for files below a path end with an error.
 *
 * PADDOCK_TEST_DISK_BELOW  begin of the paths
 * PADDOCK_TEST_DISK_DOES   write, read or sync
 * PADDOCK_TEST_DISK_ERROR  errno's number
 * PADDOCK_TEST_DISK_AFTER  so many bytes pass before, in each process
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static size_t passed;

static int fails(int fd, const char *does, size_t count)
{
    const char *wanted = getenv("PADDOCK_TEST_DISK_DOES"), *below = getenv("PADDOCK_TEST_DISK_BELOW");
    const char *error = getenv("PADDOCK_TEST_DISK_ERROR"), *after = getenv("PADDOCK_TEST_DISK_AFTER");
    char link[64], path[4096];
    ssize_t length;

    if (!wanted || !below || !error || strcmp(wanted, does) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) != 0)
        return 0;
    if (__atomic_add_fetch(&passed, count, __ATOMIC_SEQ_CST) <= (after ? strtoull(after, NULL, 10) : 0))
        return 0;
    errno = atoi(error);
    return 1;
}

static size_t total(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int number = 0; number < count; number++)
        sum += parts[number].iov_len;
    return sum;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t count)
{
    return fails(fd, "write", count) ? -1 : NEXT(write)(fd, data, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return fails(fd, "write", total(parts, count)) ? -1 : NEXT(writev)(fd, parts, count);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset)
{
    return fails(fd, "write", count) ? -1 : NEXT(pwrite64)(fd, data, count, offset);
}

int fsync(int fd)
{
    return fails(fd, "sync", 1) ? -1 : NEXT(fsync)(fd);
}

ssize_t pread64(int fd, void *data, size_t count, off64_t offset)
{
    return fails(fd, "read", count) ? -1 : NEXT(pread64)(fd, data, count, offset);
}

ssize_t preadv64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return fails(fd, "read", total(parts, count)) ? -1 : NEXT(preadv64)(fd, parts, count, offset);
}
