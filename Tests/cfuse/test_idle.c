// Idle processors are asked to look for work while requests follow each other, and at no other time.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "CIdle.h"
#include "tap.h"
#include "tests.h"

static int device = -1;

// What the kernel grants now to whoever asks for the least.
static int32_t latency(void) {
  int32_t value = -1;
  if (pread(device, &value, sizeof value, 0) != sizeof value) die("cannot read /dev/cpu_dma_latency");
  return value;
}

// A server that answers a request every `gap` microseconds for so long, and then nothing.
static pid_t server_with(long gap, double time) {
  fflush(stdout);
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child > 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close(device);
  if (cidle_start() != 0) _exit(1);
  struct timespec pause = {0, gap * 1000};
  for (double start = seconds(); seconds() - start < time;) {
    cidle_answered();
    if (gap) nanosleep(&pause, NULL);
  }
  for (;;) pause_ms(1000);
}

static void end(pid_t child) {
  int status;
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) die("a server could not ask");
}

// Within so many seconds. How long it took; -1: it did not come.
static double until(bool asked, double most) {
  for (double start = seconds(); seconds() - start < most; pause_ms(1))
    if ((latency() == 0) == asked) return seconds() - start;
  return -1;
}

// For how long it was asked for within so many seconds.
static double asked_in(double time) {
  double sum = 0, start = seconds();
  for (double before = start, now; before - start < time; before = now) {
    bool is_asked = latency() == 0;
    pause_ms(2);
    now = seconds();
    if (is_asked) sum += now - before;
  }
  return sum;
}

// The table of the thread that serves, whom a kill may find waiting in the kernel.
static bool has_device(pid_t process) {
  char path[300], target[64];
  snprintf(path, sizeof path, "/proc/%d/fd", process);
  DIR *list = opendir(path);
  if (!list) die("%s", path);
  bool has = false;
  for (struct dirent *entry; (entry = readdir(list));) {
    snprintf(path, sizeof path, "/proc/%d/fd/%s", process, entry->d_name);
    ssize_t count = readlink(path, target, sizeof target - 1);
    if (count < 0) continue;
    target[count] = 0;
    has |= strcmp(target, "/dev/cpu_dma_latency") == 0;
  }
  closedir(list);
  return has;
}

void test_idle(const char *parent) {
  (void)parent;
  pid_t child = fork();
  if (child == 0) _exit(cidle_start());
  int status;
  if (child < 0 || waitpid(child, &status, 0) < 0) die("fork");
  if (status != 0) {
    ok(WIFEXITED(status) && (WEXITSTATUS(status) == ENOTSUP || WEXITSTATUS(status) == ENOENT || WEXITSTATUS(status) == EACCES || WEXITSTATUS(status) == EPERM),
       "idle processors: not here # SKIP %s", strerror(WEXITSTATUS(status)));
    return;
  }
  device = open("/dev/cpu_dma_latency", O_RDONLY | O_CLOEXEC);
  if (device < 0) die("/dev/cpu_dma_latency");
  if (latency() == 0) {
    ok(true, "idle processors # SKIP somebody else asks for it already");
    return;
  }
  pid_t slow = server_with(1000, 10);
  ok(asked_in(0.5) == 0, "a request every millisecond asks idle processors for nothing");
  end(slow);

  double start = seconds();
  pid_t short_burst = server_with(0, 0.6);
  ok(until(true, 0.5) >= 0, "requests that follow each other do");
  ok(!has_device(short_burst), "by a thread with descriptors of its own: a thread that is stuck when all are killed keeps nothing asked for");
  // Not before they have ended: a server that does not get the processor for a while has a pause of its own.
  while (seconds() - start < 0.7) pause_ms(10);
  ok(until(false, 5) >= 0, "until there are no more of them");
  ok(asked_in(0.3) == 0, "and then it is over");
  end(short_burst);

  pid_t without_end = server_with(0, 60);
  double asked = asked_in(5);
  note("of 5 s: %.2f", asked);
  ok(asked > 1 && asked < 3.2, "requests without an end get two seconds, and then a fifth of the time");
  ok(until(true, 5) >= 0, "again");
  end(without_end);
  ok(until(false, 1) >= 0, "who is killed asks for nothing more");
  close(device);
}
