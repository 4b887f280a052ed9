// Cloning: straight from the caller, or through a short-lived process that joins namespaces first.
#include "internal.h"
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>

static long clone_process(uint64_t flags, int cgroup_fd, int exit_signal) {
  struct clone_args arguments = {.flags = flags, .exit_signal = (uint64_t)exit_signal};
  if (cgroup_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = (uint64_t)cgroup_fd;
  }
  return syscall(SYS_clone3, &arguments, sizeof arguments);
}

// The caller may be a shim that blocks signals to read them from a descriptor, or have inherited ignored ones; a program must
// not. The C library keeps two signals to itself and hides them; the kernel does not.
void cinit_reset_signals(void) {
  struct {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
  } action;
  memset(&action, 0, sizeof action);
  for (int s = 1; s <= 64; s++)
    if (s != SIGKILL && s != SIGSTOP) syscall(SYS_rt_sigaction, s, &action, NULL, 8);
  uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
}

static struct cinit_state state;

static void run(const struct cinit_op *ops, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    state.hook_status = 0;
    int error = cinit_step(&state, &ops[i]);
    if (error >= 0) continue;
    uint32_t kind = ops[i].flags & CINIT_SOFT ? CINIT_MESSAGE_WARNING : CINIT_MESSAGE_ERROR;
    if (state.report_fd >= 0)
      cinit_report(state.report_fd, kind, -error, (int)ops[i].kind, (uint32_t)state.hook_status, ops[i].label, -1);
    if (kind == CINIT_MESSAGE_ERROR) _exit(127);
  }
}

int cinit_spawn(const struct cinit_plan *plan) {
  state.plan = plan;
  state.report_fd = plan->sync_fd;
  state.root_fd = state.null_fd = state.mask_fd = state.terminal_fd = -1;
  state.hook_input_size = 0;
  int staged = plan->join_count > 0;
  long pid = clone_process(staged ? 0 : plan->clone_flags, plan->cgroup_fd, SIGCHLD);
  if (pid < 0) return -errno;
  if (pid > 0) return (int)pid;

  cinit_reset_signals();
  // Of a caller that is killed half-way nobody may find a process that still makes a container. The kernel forgets this when
  // ids change; from then on the end of the sync socket says so.
  if (plan->held) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (staged) {
    run(plan->joins, plan->join_count);
    // The child becomes a child of the caller, not of this process.
    long child = clone_process(plan->clone_flags | CLONE_PARENT, -1, 0);
    if (child < 0) {
      cinit_report(plan->sync_fd, CINIT_MESSAGE_ERROR, errno, 0, 0, "clone the container's process", -1);
      _exit(127);
    }
    if (child > 0) {
      cinit_report(plan->sync_fd, CINIT_MESSAGE_PID, 0, (int)child, 0, NULL, -1);
      _exit(0);
    }
    if (plan->held) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  }
  // Nobody inside may look at this copy of the caller's memory before the program replaces it.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  run(plan->ops, plan->op_count);
  _exit(127);
}
