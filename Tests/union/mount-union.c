// mount-union [-u] [-p] [-c | -C] [-l] [-k] [-s seed] [-w answers] [-t threads] lower[:lower...] upper work target:
// mounts a union, says "mounted", and serves until it is unmounted.
// -c: with catalogs, made before; of every other lower directory only if there are several. -C: with those that are there.
// -l: through libfuse.
// -k: this process holds what outlives a server, and starts another server whenever one is killed.
// -s SEED: and it kills each itself, just before or just after a system call that may change something, until SIGUSR1 comes. Then it says how often it did.
// -w N: and it kills one, once, when that has just given its Nth answer.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "CLibFuse.h"

static cunion *tree;
static clibfuse *session;
static int device = -1, threads = 2;

static void *serve(void *unused) {
  (void)unused;
  return (void *)(intptr_t)(session ? clibfuse_serve(session) : cunion_serve(tree, device));
}

static int open_union(const struct cunion_options *options) {
  char error[512];
  if ((tree = cunion_open(options, error, sizeof error))) return 0;
  fprintf(stderr, "mount-union: %s\n", error);
  return 1;
}

static int mount_union(const char *target) {
  if ((device = cunion_mount(target, "union")) >= 0) return 0;
  fprintf(stderr, "mount-union: cannot mount at %s: %s\n", target, strerror(errno));
  return 1;
}

static int run(void) {
  pthread_t others[64];
  for (int i = 1; i < threads; i++)
    if (pthread_create(&others[i], NULL, serve, NULL) != 0) return 1;
  int result = (int)(intptr_t)serve(NULL);
  for (int i = 1; i < threads; i++) pthread_join(others[i], NULL);
  if (session)
    clibfuse_close(session);
  else
    close(device);
  cunion_close(tree);
  if (result) fprintf(stderr, "mount-union: %s\n", strerror(result));
  return result ? 1 : 0;
}

static int run_child(const struct cunion_options *options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (open_union(options)) return 1;
  int error = cunion_take_over(tree, device);
  if (!error) return run();
  fprintf(stderr, "mount-union: cannot go on: %s\n", strerror(error));
  return 1;
}

static unsigned seed;
static long answers;
static volatile sig_atomic_t calm;

static void be_calm(int number) {
  (void)number;
  calm = 1;
}

static int is_of_interest(long call) {
  switch (call) {
    case SYS_read: case SYS_poll: case SYS_ppoll: case SYS_sched_yield: case SYS_futex: case SYS_mmap: case SYS_munmap: case SYS_mprotect: case SYS_madvise:
    case SYS_clone: case SYS_clone3: case SYS_clock_gettime: case SYS_rt_sigprocmask: case SYS_set_robust_list: case SYS_rseq: return 0;
    default: return 1;
  }
}

// Runs a child up to a system call, and kills it there. Its status.
static int watch(pid_t child, int go, unsigned *kills) {
  static long calls[1 << 16];
  int status, left = 100 + rand_r(&seed) % 900;
  if (ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) < 0) return 1 << 8;
  ptrace(PTRACE_INTERRUPT, child, 0, 0);
  if (write(go, "g", 1) != 1) return 1 << 8;
  for (;;) {
    pid_t thread = waitpid(-1, &status, __WALL);
    if (thread < 0 && errno == EINTR) continue;
    if (thread < 0) return 1 << 8;
    if (!WIFSTOPPED(status)) {
      if (thread == child) return status;
      continue;
    }
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      struct __ptrace_syscall_info call;
      signal = 0;
      if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof call, &call) > 0) {
        if (call.op == PTRACE_SYSCALL_INFO_ENTRY) calls[thread & 0xffff] = (long)call.entry.nr;
        int is_due;
        if (answers > 0)
          is_due = call.op == PTRACE_SYSCALL_INFO_EXIT && calls[thread & 0xffff] == SYS_writev && --answers == 0 && (calm = 1);
        else
          // Of attempts to read a request those that bring one.
          is_due = !calm && is_of_interest(calls[thread & 0xffff]) &&
                   (calls[thread & 0xffff] != SYS_readv || (call.op == PTRACE_SYSCALL_INFO_EXIT && call.exit.rval > 0)) && --left == 0;
        if (is_due) {
          kill(child, SIGKILL);
          ++*kills;
        }
      }
    } else if (status >> 16) {
      signal = 0;
    }
    ptrace(PTRACE_SYSCALL, thread, 0, signal);
  }
}

static int keep(struct cunion_options *options, const char *target) {
  unsigned kills = 0;
  int go[2];
  options->has_state = 1;
  if ((options->state = cunion_state()) < 0 || mount_union(target)) return 1;
  signal(SIGUSR1, be_calm);
  for (int first = 1;; first = 0) {
    if (pipe(go) < 0) return 1;
    pid_t child = fork();
    if (child == 0) {
      char byte;
      close(go[1]);
      if (seed && read(go[0], &byte, 1) != 1) _exit(1);
      close(go[0]);
      _exit(run_child(options));
    }
    if (first) {
      puts("mounted");
      fflush(stdout);
    }
    int status;
    if (child < 0) return 1;
    if (seed)
      status = watch(child, go[1], &kills);
    else if (waitpid(child, &status, 0) < 0)
      return 1;
    close(go[0]);
    close(go[1]);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) continue;
    if (seed) printf("killed %u\n", kills);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  }
}

static int find_catalogs(struct cunion_options *options, int makes) {
  static const char *catalogs[256];
  for (size_t i = 0; i < options->lower_count; i += 2) {
    char path[4096];
    snprintf(path, sizeof path, "%s.catalog-%zu", options->work, i);
    int error = makes ? cunion_catalog(options->lowers[i], path) : 0;
    // A tree may be too deep for one.
    if (error && error != ENAMETOOLONG) {
      fprintf(stderr, "mount-union: no catalog of %s: %s\n", options->lowers[i], strerror(error));
      return 1;
    }
    catalogs[i] = error ? NULL : strdup(path);
  }
  options->catalogs = catalogs;
  return 0;
}

int main(int count, char **arguments) {
  struct cunion_options options = {0};
  int keeps = 0, through_libfuse = 0, catalogs = 0, option;
  while ((option = getopt(count, arguments, "upcClks:w:t:")) != -1) {
    if (option == 'u') options.user_xattr = 1;
    if (option == 'p') options.passthrough = 1;
    if (option == 'c' || option == 'C') catalogs = option;
    if (option == 'l') through_libfuse = 1;
    if (option == 'k') keeps = 1;
    if (option == 's') keeps = (int)(seed = (unsigned)atoi(optarg));
    if (option == 'w') keeps = (int)(seed = 1), answers = atol(optarg);
    if (option == 't') threads = atoi(optarg);
    if (option == '?') return 2;
  }
  if (count - optind != 4 || threads < 1 || threads > 64) {
    fprintf(stderr, "usage: mount-union [-u] [-p] [-c | -C] [-l] [-k] [-s seed] [-w answers] [-t threads] lower[:lower...] upper work target\n");
    return 2;
  }
  const char *lowers[256];
  for (char *lower = strtok(arguments[optind], ":"); lower && options.lower_count < 256; lower = strtok(NULL, ":")) lowers[options.lower_count++] = lower;
  options.lowers = lowers;
  options.upper = arguments[optind + 1];
  options.work = arguments[optind + 2];
  if (catalogs && find_catalogs(&options, catalogs == 'c')) return 1;
  if (keeps) return keep(&options, arguments[optind + 3]);
  const char *target = arguments[optind + 3];
  if (open_union(&options)) return 1;
  if (through_libfuse ? !(session = clibfuse_union(tree, target, "union")) : mount_union(target)) {
    if (through_libfuse) fprintf(stderr, "mount-union: cannot mount at %s through libfuse: %s\n", target, strerror(errno));
    return 1;
  }
  puts("mounted");
  fflush(stdout);
  return run();
}
