// Running a hook: a child with JSON on its standard input and a time limit.
#include "internal.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int cinit_run_hook(const char *path, char *const *argv, char *const *env, const char *input, uint64_t input_size,
                   int timeout_seconds, int *status) {
  int ends[2], failure[2];
  *status = 0;
  if (input_size > CINIT_HOOK_INPUT_MAX) return -E2BIG; // must fit the pipe, or we would wait for a hook that never reads
  if (pipe2(ends, O_CLOEXEC)) return -errno;
  if (pipe2(failure, O_CLOEXEC)) {
    int error = -errno;
    close(ends[0]);
    close(ends[1]);
    return error;
  }
  long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    cinit_reset_signals();
    // A hook is of no use to a runtime that was killed, and nobody would end it.
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (dup2(ends[0], 0) < 0) _exit(127);
    syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    execve(path, argv, env);
    int error = errno;
    if (write(failure[1], &error, sizeof error) < 0) _exit(126);
    _exit(127);
  }
  int error = pid < 0 ? -errno : 0;
  close(ends[0]);
  close(failure[1]);
  if (!error) {
    // A hook that ends without reading closes the pipe; that is its right.
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    uint64_t done = 0;
    while (done < input_size) {
      ssize_t count = write(ends[1], input + done, input_size - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) break;
      done += (uint64_t)count;
    }
    sigaction(SIGPIPE, &before, NULL);
  }
  close(ends[1]);
  int exec_error = 0;
  if (!error && read(failure[0], &exec_error, sizeof exec_error) != sizeof exec_error) exec_error = 0;
  close(failure[0]);
  if (error) return error;

  if (timeout_seconds > 0 && !exec_error) {
    int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    int64_t deadline = now_ms() + (int64_t)timeout_seconds * 1000;
    while (pidfd >= 0) {
      int64_t left = deadline - now_ms();
      struct pollfd watch = {.fd = pidfd, .events = POLLIN};
      int ready = poll(&watch, 1, left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left);
      if (ready > 0) break;
      if (ready == 0 && now_ms() >= deadline) {
        kill((pid_t)pid, SIGKILL);
        error = -ETIMEDOUT;
        break;
      }
    }
    if (pidfd >= 0) close(pidfd);
  }
  while (waitpid((pid_t)pid, status, 0) < 0)
    if (errno != EINTR) return -errno;
  if (exec_error) return -exec_error;
  return error;
}
