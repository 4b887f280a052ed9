#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "CIdle.h"

#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull

// A burst: that many requests, and no longer for each of them.
#define BURST 32
#define BURST_GAP (500 * MICROSECOND)
// It is over when there were fewer requests than that in one period.
#define PERIOD (10 * MILLISECOND)
#define STILL_BUSY 16
// Processors look for work for a fifth of the time at most, and for no longer than that at once.
#define LONGEST (2000 * MILLISECOND)
#define SHORTEST (200 * MILLISECOND)
#define REST 4

// Of the attending thread alone.
static int device = -1;
static _Atomic uint64_t answered, last_burst;
static _Atomic int is_started, is_asked;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// In microseconds; the kernel forgets it when the descriptor is closed.
static int ask_for(int32_t latency) { return write(device, &latency, sizeof latency) == sizeof latency ? 0 : errno; }
#define AT_ONCE 0
#define ANY_TIME 2000000000  // the kernel's own default

static void sleep_for(uint64_t time) {
  struct timespec left = {.tv_sec = (time_t)(time / 1000000000u), .tv_nsec = (long)(time % 1000000000u)};
  nanosleep(&left, NULL);
}

// As long as requests follow each other, and `allowed` lasts. How much of it is left; below 0, how much too much it was.
static int64_t attend_burst(int64_t allowed) {
  uint64_t start = now(), before = atomic_load(&answered);
  if (ask_for(AT_ONCE)) return 0;
  for (;;) {
    sleep_for(PERIOD);
    uint64_t count = atomic_load(&answered);
    int64_t spent = (int64_t)(now() - start);
    if (count - before >= STILL_BUSY && spent < allowed) {
      before = count;
      continue;
    }
    ask_for(ANY_TIME);
    return allowed - spent;
  }
}

// What `cidle_start` waits for.
struct beginning {
  sem_t is_known;
  int error;
};

// A table of descriptors of its own: the request ends with this thread. In the process's it would stay as long as any other that was killed waits in the kernel.
static int open_alone(void) {
  // As <linux/close_range.h> has it.
  const unsigned unshare_table = 1u << 1;
  // ENOSYS before Linux 5.9: then it is the process's.
  if (syscall(SYS_close_range, 0u, ~0u, unshare_table) < 0 && errno != ENOSYS) return errno;
  device = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
  return device < 0 ? errno : 0;
}

static void *attend(void *begun) {
  pthread_setname_np(pthread_self(), "ref-idle");
  // The request that comes with the descriptor asks for nothing.
  int error = open_alone();
  struct beginning *mine = begun;
  mine->error = error;
  sem_post(&mine->is_known);
  if (error) return NULL;
  int64_t left = LONGEST;
  uint64_t since = now();
  for (;;) {
    pthread_mutex_lock(&mutex);
    while (!atomic_load(&is_asked)) pthread_cond_wait(&asked, &mutex);
    pthread_mutex_unlock(&mutex);
    left += (int64_t)((now() - since) / REST);
    if (left > (int64_t)LONGEST) left = LONGEST;
    // Not for less than what would be over as soon as it has begun.
    if (left < (int64_t)SHORTEST) {
      since = now();
      sleep_for((uint64_t)((int64_t)SHORTEST - left) * REST);
    } else {
      left = attend_burst(left);
      since = now();
    }
    atomic_store(&is_asked, 0);
  }
  return NULL;
}

static int halts_by_haltpoll(void) {
  char driver[16] = "";
  int file = open("/sys/devices/system/cpu/cpuidle/current_driver", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t count = read(file, driver, sizeof driver - 1);
  close(file);
  return count > 0 && strncmp(driver, "haltpoll\n", 9) == 0;
}

static int begin(void) {
  if (!halts_by_haltpoll() || sysconf(_SC_NPROCESSORS_ONLN) > CIDLE_PROCESSORS) return ENOTSUP;
  struct beginning beginning = {.error = 0};
  sem_init(&beginning.is_known, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Where that is less than a thread may have, it gets the usual one.
  pthread_attr_setstacksize(&attributes, 64 << 10);
  // Signals are for the threads of whoever calls.
  sigset_t all, before;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attributes, attend, &beginning);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (!error) {
    while (sem_wait(&beginning.is_known) < 0) {}
    error = beginning.error;
  }
  sem_destroy(&beginning.is_known);
  return error;
}

int cidle_start(void) {
  pthread_mutex_lock(&mutex);
  int error = atomic_load(&is_started) ? 0 : begin();
  if (!error) atomic_store(&is_started, 1);
  pthread_mutex_unlock(&mutex);
  return error;
}

void cidle_answered(void) {
  if (!atomic_load_explicit(&is_started, memory_order_relaxed)) return;
  if ((atomic_fetch_add_explicit(&answered, 1, memory_order_relaxed) + 1) % BURST) return;
  uint64_t time = now();
  if (time - atomic_exchange_explicit(&last_burst, time, memory_order_relaxed) > BURST * BURST_GAP) return;
  if (atomic_exchange(&is_asked, 1)) return;
  pthread_mutex_lock(&mutex);
  pthread_cond_signal(&asked);
  pthread_mutex_unlock(&mutex);
}
