/* A disk that fails: preloaded into a server, it makes what writes to files below a folder fail while a
 * file says so. DISK_FOLDER names the folder, DISK_FAULT the file: "full" (ENOSPC) or "broken" (EIO). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Returns the error that writing to this file ends with, or 0. */
static int fault_of(int file) {
  const char *folder = getenv("DISK_FOLDER"), *control = getenv("DISK_FAULT");
  if (folder == NULL || control == NULL || access(control, F_OK) != 0) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strncmp(path, folder, strlen(folder)) != 0) return 0;
  char word[8] = "";
  int told = open(control, O_RDONLY | O_CLOEXEC);
  if (told < 0) return 0;
  ssize_t got = read(told, word, sizeof word - 1);
  close(told);
  if (got <= 0) return 0;
  return strncmp(word, "full", 4) == 0 ? ENOSPC : EIO;
}

/* A full disk can still be synced; a broken one fails at everything. */
static int refuses(int file, int writes) {
  int before = errno, fault = fault_of(file);
  if (fault == 0 || (fault == ENOSPC && !writes)) {
    errno = before;
    return 0;
  }
  errno = fault;
  return 1;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

#define WRAP(result, name, writes, parameters, ...)                  \
  result name parameters {                                           \
    static result(*next) parameters;                                 \
    if (next == NULL) next = NEXT(result(*) parameters, #name);      \
    return refuses(file, writes) ? (result)-1 : next(__VA_ARGS__);   \
  }

WRAP(ssize_t, write, 1, (int file, const void *bytes, size_t count), file, bytes, count)
WRAP(ssize_t, pwrite, 1, (int file, const void *bytes, size_t count, off_t at), file, bytes, count, at)
WRAP(ssize_t, pwrite64, 1, (int file, const void *bytes, size_t count, off64_t at), file, bytes, count, at)
WRAP(ssize_t, writev, 1, (int file, const struct iovec *parts, int count), file, parts, count)
WRAP(ssize_t, pwritev, 1, (int file, const struct iovec *parts, int count, off_t at), file, parts, count, at)
WRAP(ssize_t, pwritev64, 1, (int file, const struct iovec *parts, int count, off64_t at), file, parts, count, at)
WRAP(int, ftruncate, 1, (int file, off_t length), file, length)
WRAP(int, ftruncate64, 1, (int file, off64_t length), file, length)
WRAP(int, fallocate, 1, (int file, int mode, off_t from, off_t length), file, mode, from, length)
WRAP(int, fallocate64, 1, (int file, int mode, off64_t from, off64_t length), file, mode, from, length)
WRAP(int, fsync, 0, (int file), file)
WRAP(int, fdatasync, 0, (int file), file)

/* These return the error and leave errno alone. */
#define WRAP_ALLOCATE(name, offset)                                          \
  int name(int file, offset from, offset length) {                           \
    int before = errno, fault = fault_of(file);                              \
    errno = before;                                                          \
    return fault ? fault : NEXT(int (*)(int, offset, offset), #name)(file, from, length); \
  }

WRAP_ALLOCATE(posix_fallocate, off_t)
WRAP_ALLOCATE(posix_fallocate64, off64_t)
