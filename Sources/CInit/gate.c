// Waiting between create and start, and the execution of the program.
#include "internal.h"
#include <sys/socket.h>
#include <sys/stat.h>

static void close_except(unsigned first, int keep1, int keep2) {
  int low = keep1 < keep2 ? keep1 : keep2, high = keep1 < keep2 ? keep2 : keep1;
  unsigned from = first;
  if (low >= (int)from) {
    if (low > (int)from) syscall(SYS_close_range, from, low - 1, 0);
    from = (unsigned)low + 1;
  }
  if (high >= (int)from) {
    if (high > (int)from) syscall(SYS_close_range, from, high - 1, 0);
    from = (unsigned)high + 1;
  }
  syscall(SYS_close_range, from, ~0u, 0);
}

int cinit_do_ready(struct cinit_state *state, const struct cinit_op *op) {
  // Nothing of the caller's stays open in a process that may wait for days.
  close_except((unsigned)op->a, op->fd, state->report_fd);
  state->root_fd = state->null_fd = state->mask_fd = -1;
  int error = cinit_report(state->report_fd, CINIT_MESSAGE_READY, 0, 0, 0, NULL, -1);
  if (error) return error;
  close(state->report_fd);
  state->report_fd = -1;
  return 0;
}

int cinit_do_gate(struct cinit_state *state, const struct cinit_op *op) {
  int connection;
  while ((connection = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
    if (errno != EINTR && errno != ECONNABORTED) return -errno;
  close(op->fd);
  state->report_fd = connection;
  return 0;
}

int cinit_do_chdir(const struct cinit_op *op) {
  char where[4096];
  if (chdir(op->path)) return -errno;
  // A directory outside the root (a descriptor kept from the host) shows as "(unreachable)".
  long length = syscall(SYS_getcwd, where, sizeof where);
  if (length < 0) return -errno;
  return where[0] == '/' ? 0 : -EXDEV;
}

static const char *variable(char *const *env, const char *name) {
  size_t length = strlen(name);
  const char *found = NULL;
  for (; *env; env++)
    if (!strncmp(*env, name, length) && (*env)[length] == '=') found = *env + length + 1;
  return found;
}

int cinit_do_execute(const struct cinit_op *op) {
  if (strchr(op->path, '/')) {
    execve(op->path, op->list, op->env);
    return -errno;
  }
  const char *path = variable(op->env, "PATH");
  if (!path || !*path) path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char candidate[4096];
  size_t name = strlen(op->path);
  int result = -ENOENT;
  while (1) {
    const char *end = strchr(path, ':');
    size_t directory = end ? (size_t)(end - path) : strlen(path);
    if (directory + 1 + name < sizeof candidate) {
      memcpy(candidate, path, directory);
      if (!directory) candidate[directory++] = '.';
      candidate[directory] = '/';
      memcpy(candidate + directory + 1, op->path, name + 1);
      struct stat info;
      // A directory of that name is passed over, as a shell does.
      if (stat(candidate, &info) == 0 && !S_ISDIR(info.st_mode)) {
        execve(candidate, op->list, op->env);
        if (errno == EACCES) result = -EACCES;
        else if (errno != ENOENT && errno != ENOTDIR) return -errno;
      }
    }
    if (!end) return result;
    path = end + 1;
  }
}
