// Paths inside the container's root: always by openat2 below one descriptor, never as strings of the host.
#include "internal.h"
#include <sys/vfs.h>
#include <linux/magic.h>

#define CINIT_LINKS_MAX 16

void cinit_fd_path(char *buffer, int fd) {
  static const char prefix[] = "/proc/self/fd/";
  memcpy(buffer, prefix, sizeof prefix - 1);
  char digits[12];
  int count = 0;
  do {
    digits[count++] = (char)('0' + fd % 10);
    fd /= 10;
  } while (fd);
  char *end = buffer + sizeof prefix - 1;
  while (count) *end++ = digits[--count];
  *end = 0;
}

int cinit_write_all(int fd, const char *bytes, size_t size) {
  ssize_t done;
  while ((done = write(fd, bytes, size)) < 0)
    if (errno != EINTR) return -errno;
  return (size_t)done == size ? 0 : -EIO;
}

int cinit_check_procfs(int fd) {
  struct statfs info;
  if (fstatfs(fd, &info)) return -errno;
  return info.f_type == PROC_SUPER_MAGIC ? 0 : -EXDEV;
}

int cinit_open_in_root(int root, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve};
  for (int attempt = 0;; attempt++) {
    long fd = syscall(SYS_openat2, root, *path ? path : "/", &how, sizeof how);
    if (fd >= 0) return (int)fd;
    // EAGAIN: something was renamed meanwhile and the kernel could not prove that we stayed inside.
    if ((errno == EAGAIN || errno == EINTR) && attempt < 128) continue;
    return -errno;
  }
}

// Where a link that leads to nothing would lead, with what follows it: the rest of `path` behind its first `at` bytes, which
// name the link. Images have such links at places where mounts go; what they name is made, inside the root like all else.
static int follow_link(int parent, const char *path, size_t start, size_t at, char *target, size_t size) {
  char name[256];
  if (at - start >= sizeof name) return -ENAMETOOLONG;
  memcpy(name, path + start, at - start);
  name[at - start] = 0;
  char link[2048];
  ssize_t count = readlinkat(parent, name, link, sizeof link);
  if (count < 0) return errno == EINVAL ? -ENOTDIR : -errno;
  size_t kept = link[0] == '/' ? 0 : start, rest = strlen(path + at);
  if (count == sizeof link || kept + (size_t)count + rest + 1 > size) return -ENAMETOOLONG;
  memcpy(target, path, kept);
  memcpy(target + kept, link, (size_t)count);
  memcpy(target + kept + count, path + at, rest + 1);
  return 0;
}

static int make_directories(int root, const char *path, mode_t mode, uint64_t resolve, int links) {
  int fd = cinit_open_in_root(root, path, O_PATH | O_DIRECTORY, resolve);
  if (fd != -ENOENT) return fd;
  if (links > CINIT_LINKS_MAX) return -ELOOP;
  char prefix[4096], target[4096];
  size_t length = strlen(path);
  if (length >= sizeof prefix) return -ENAMETOOLONG;
  int parent = cinit_open_in_root(root, "/", O_PATH | O_DIRECTORY, 0);
  if (parent < 0) return parent;
  size_t at = 0;
  while (at < length) {
    while (at < length && path[at] == '/') at++;
    size_t start = at;
    while (at < length && path[at] != '/') at++;
    if (at == start) break;
    memcpy(prefix, path, at);
    prefix[at] = 0;
    int next = cinit_open_in_root(root, prefix, O_PATH | O_DIRECTORY, resolve);
    if (next == -ENOENT) {
      int taken = mkdirat(parent, prefix + start, mode) ? errno : 0;
      if (taken && taken != EEXIST) next = -taken;
      else next = cinit_open_in_root(root, prefix, O_PATH | O_DIRECTORY, resolve);
      if (next == -ENOENT && taken) {
        int error = follow_link(parent, path, start, at, target, sizeof target);
        close(parent);
        return error ? error : make_directories(root, target, mode, resolve, links + 1);
      }
    }
    close(parent);
    if (next < 0) return next;
    parent = next;
  }
  return parent;
}

int cinit_make_directories(int root, const char *path, mode_t mode, uint64_t resolve) {
  return make_directories(root, path, mode, resolve, 0);
}

// Makes what leads to `path` and gives its directory; `name` is the last component, inside `buffer`.
int cinit_open_parent(int root, const char *path, uint64_t resolve, const char **name, char *buffer, size_t size) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  if (length >= size) return -ENAMETOOLONG;
  memcpy(buffer, path, length);
  buffer[length] = 0;
  char *slash = strrchr(buffer, '/');
  if (!slash || !slash[1] || !strcmp(slash + 1, "..") || !strcmp(slash + 1, ".")) return -EINVAL;
  *slash = 0;
  *name = slash + 1;
  return cinit_make_directories(root, buffer, 0755, resolve);
}

static int make_file(int root, const char *path, uint64_t resolve, int links) {
  int fd = cinit_open_in_root(root, path, O_PATH, resolve);
  if (fd != -ENOENT) return fd;
  if (links > CINIT_LINKS_MAX) return -ELOOP;
  char buffer[4096], target[4096];
  const char *name;
  int parent = cinit_open_parent(root, path, resolve, &name, buffer, sizeof buffer);
  if (parent < 0) return parent;
  int made = openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
  int error = made < 0 ? errno : 0;
  if (made >= 0) close(made);
  if (!error || error == EEXIST) {
    fd = cinit_open_in_root(root, path, O_PATH, resolve);
    if (fd == -ENOENT && error) {
      // The name as the path has it: `buffer` was cut where the name begins.
      size_t start = (size_t)(name - buffer), at = start + strlen(name);
      int failed = follow_link(parent, path, start, at, target, sizeof target);
      close(parent);
      return failed ? failed : make_file(root, target, resolve, links + 1);
    }
    error = 0;
  }
  close(parent);
  return error ? -error : fd;
}

// The place for a mount, made if absent: a directory or an empty file.
int cinit_make_target(int root, const char *path, int is_directory, uint64_t resolve) {
  return is_directory ? cinit_make_directories(root, path, 0755, resolve) : make_file(root, path, resolve, 0);
}
