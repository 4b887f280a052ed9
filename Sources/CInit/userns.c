// A user namespace kept only as a descriptor: what id-mapped mounts are mapped by.
#include "internal.h"
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static int write_map(pid_t pid, const char *file, const char *map) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = cinit_write_all(fd, map, strlen(map));
  close(fd);
  return error;
}

int cinit_user_namespace(const char *uid_map, const char *gid_map) {
  long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid < 0) return -errno;
  if (pid == 0) {
    while (1) pause();
  }
  int error = write_map((pid_t)pid, "uid_map", uid_map);
  if (!error) error = write_map((pid_t)pid, "gid_map", gid_map);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
  int fd = error ? error : open(path, O_RDONLY | O_CLOEXEC);
  if (!error && fd < 0) fd = -errno;
  kill((pid_t)pid, SIGKILL);
  int status;
  while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR) continue;
  return fd;
}
