// Waiting between create and start, and the execution of the program.
#include "internal.h"
#include <sys/prctl.h>
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
  // Once the caller knows, it may end; before it does, its end is seen below.
  prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
  int error = cinit_report(state->report_fd, CINIT_MESSAGE_READY, 0, 0, 0, NULL, -1);
  if (error) return error;
  char kept;
  ssize_t count;
  while ((count = recv(state->report_fd, &kept, 1, 0)) < 0)
    if (errno != EINTR) return -errno;
  if (count == 0) return -ECONNABORTED;
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

static const char *search_path(char *const *env) {
  const char *path = variable(env, "PATH");
  return path && *path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

// The next place of a search path that can hold `name`: 1 and the candidate, or 0 at the end.
static int next_candidate(const char **path, const char *name, char *candidate, size_t size) {
  size_t length = strlen(name);
  while (*path) {
    const char *end = strchr(*path, ':');
    size_t directory = end ? (size_t)(end - *path) : strlen(*path);
    const char *from = *path;
    *path = end ? end + 1 : NULL;
    if (directory + 3 + length > size) continue;
    memcpy(candidate, from, directory);
    if (!directory) candidate[directory++] = '.';
    candidate[directory] = '/';
    memcpy(candidate + directory + 1, name, length + 1);
    return 1;
  }
  return 0;
}

static int runnable(int directory, const char *path) {
  struct stat info;
  if (fstatat(directory, path, &info, 0)) return -errno;
  return S_ISDIR(info.st_mode) || !(info.st_mode & 0111) ? -EACCES : 0;
}

// Whether there is such a program at all, for the user to learn it at creation. Whether the process may run it shows later.
int cinit_do_lookup(const struct cinit_op *op) {
  int directory = open(op->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return 0; // entering it will say why
  int result = -ENOENT;
  if (strchr(op->path, '/')) {
    result = runnable(directory, op->path);
  } else {
    char candidate[4096];
    const char *path = search_path(op->env);
    while (result && next_candidate(&path, op->path, candidate, sizeof candidate)) {
      int error = runnable(directory, candidate);
      if (!error || error == -EACCES) result = error;
    }
  }
  close(directory);
  return result;
}

int cinit_do_execute(const struct cinit_op *op) {
  if (strchr(op->path, '/')) {
    execve(op->path, op->list, op->env);
    return -errno;
  }
  char candidate[4096];
  int result = -ENOENT;
  const char *path = search_path(op->env);
  while (next_candidate(&path, op->path, candidate, sizeof candidate)) {
    struct stat info;
    // A directory of that name is passed over, as a shell does.
    if (stat(candidate, &info) || S_ISDIR(info.st_mode)) continue;
    execve(candidate, op->list, op->env);
    if (errno == EACCES) result = -EACCES;
    else if (errno != ENOENT && errno != ENOTDIR) return -errno;
  }
  return result;
}
