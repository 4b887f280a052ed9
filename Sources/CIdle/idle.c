#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
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

// In microseconds; the kernel forgets it when the descriptor is closed, so also when this process is killed.
static int ask_for(int32_t latency) { return write(device, &latency, sizeof latency) == sizeof latency ? 0 : errno; }
#define AT_ONCE 0
#define ANY_TIME 2000000000  // the kernel's own default

static void sleep_for(uint64_t time) {
  struct timespec left = {.tv_sec = (time_t)(time / 1000000000u), .tv_nsec = (long)(time % 1000000000u)};
  nanosleep(&left, NULL);
}

// As long as requests follow each other, and `allowed` lasts. How much of it is left.
static uint64_t attend_burst(uint64_t allowed) {
  uint64_t start = now(), before = atomic_load(&answered);
  if (ask_for(AT_ONCE)) return 0;
  for (;;) {
    sleep_for(PERIOD);
    uint64_t count = atomic_load(&answered), spent = now() - start;
    if (count - before >= STILL_BUSY && spent < allowed) {
      before = count;
      continue;
    }
    ask_for(ANY_TIME);
    return spent < allowed ? allowed - spent : 0;
  }
}

static void *attend(void *unused) {
  (void)unused;
  pthread_setname_np(pthread_self(), "ref-idle");
  uint64_t left = LONGEST, since = now();
  for (;;) {
    pthread_mutex_lock(&mutex);
    while (!atomic_load(&is_asked)) pthread_cond_wait(&asked, &mutex);
    pthread_mutex_unlock(&mutex);
    left += (now() - since) / REST;
    if (left > LONGEST) left = LONGEST;
    // Not for less than what would be over as soon as it has begun.
    if (left < SHORTEST) {
      since = now();
      sleep_for((SHORTEST - left) * REST);
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

int cidle_start(void) {
  pthread_mutex_lock(&mutex);
  int error = 0;
  if (!atomic_load(&is_started)) {
    if (!halts_by_haltpoll() || sysconf(_SC_NPROCESSORS_ONLN) > CIDLE_PROCESSORS) error = ENOTSUP;
    if (!error && (device = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC)) < 0) error = errno;
    // The request that comes with the descriptor asks for nothing.
    pthread_attr_t attributes;
    pthread_t thread;
    if (!error) {
      pthread_attr_init(&attributes);
      pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
      pthread_attr_setstacksize(&attributes, 64 << 10);
      // Signals are for the threads of whoever calls.
      sigset_t all, before;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
      error = pthread_create(&thread, &attributes, attend, NULL);
      pthread_sigmask(SIG_SETMASK, &before, NULL);
      pthread_attr_destroy(&attributes);
      if (error) close(device);
    }
    if (!error) atomic_store(&is_started, 1);
  }
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
