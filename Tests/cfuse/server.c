#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "CLibFuse.h"
#include "tap.h"

typedef struct question {
  server *server;
  int device;
  uint64_t number;
  uint32_t node;
  uint64_t offset;
  uint32_t count;
} question;

// Reads wait here for threads that answer: never those that have read the request.
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrival = PTHREAD_COND_INITIALIZER;
static question *waiting[4096];
static unsigned head, tail;
static pid_t owner;

static void answer(question *q) {
  uint8_t *bytes = malloc(q->count);
  if (!bytes) abort();
  int delay = atomic_load(&q->server->delay);
  if (delay) pause_ms(delay);
  fill_bytes(q->node, q->offset, bytes, q->count);
  if (q->server->transport == RAW)
    cfuse_reply(q->device, q->number, 0, bytes, q->count);
  else
    clibfuse_reply(q->device, q->number, 0, bytes, q->count);
  free(bytes);
  atomic_fetch_add(&q->server->answered, 1);
  free(q);
}

static void *answers(void *unused) {
  (void)unused;
  for (;;) {
    pthread_mutex_lock(&guard);
    while (head == tail) pthread_cond_wait(&arrival, &guard);
    question *q = waiting[tail++ % 4096];
    pthread_mutex_unlock(&guard);
    answer(q);
  }
  return NULL;
}

static void start_answers(void) {
  // Threads do not follow into a child, but what they were doing does.
  if (owner == getpid()) return;
  owner = getpid();
  guard = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
  arrival = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
  head = tail = 0;
  for (int i = 0; i < 4; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, answers, NULL) != 0) die("no thread");
    pthread_detach(thread);
  }
}

static void read_later(void *context, int device, uint64_t number, uint32_t thread, uint32_t node, uint64_t offset, uint32_t count) {
  (void)thread;
  server *s = context;
  question *q = malloc(sizeof *q);
  if (!q) abort();
  *q = (question){s, device, number, node, offset, count};
  atomic_fetch_add(&s->asked, 1);
  pthread_mutex_lock(&guard);
  // The kernel has at most 64 reads ahead under way, and one for each that waits.
  if (head - tail == 4096) abort();
  waiting[head++ % 4096] = q;
  pthread_cond_signal(&arrival);
  pthread_mutex_unlock(&guard);
}

static int complete_descriptor(void *context, uint32_t node) {
  server *s = context;
  char name[16];
  snprintf(name, sizeof name, "%u", node);
  return s->complete < 0 ? -1 : openat(s->complete, name, O_RDONLY | O_CLOEXEC);
}

void complete_file(server *s, uint32_t node) {
  char name[16];
  snprintf(name, sizeof name, "%u", node);
  int file = openat(s->complete, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  uint8_t *bytes = malloc(1 << 20);
  if (file < 0 || !bytes) die("a complete file: %s", name);
  uint64_t size = s->service.tree->nodes[node].size;
  for (uint64_t done = 0; done < size;) {
    size_t part = size - done < 1 << 20 ? size - done : 1 << 20;
    fill_bytes(node, done, bytes, part);
    if (write(file, bytes, part) != (ssize_t)part) die("a complete file: %s", name);
    done += part;
  }
  free(bytes);
  close(file);
}

void server_make(server *s, transport transport, const char *target, bool with_opens) {
  memset(s, 0, sizeof *s);
  s->transport = transport;
  s->target = target;
  s->complete = -1;
  s->service = (cfuse_service){.tree = &make_tree()->tree, .read = read_later, .context = s};
  if (!with_opens) return;
  s->service.backing = complete_descriptor;
  s->service.state = mmap(NULL, cfuse_state_size(s->service.tree), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (s->service.state == MAP_FAILED) die("no memory");
}

void server_mount(server *s, const cfuse_mount_options *options) {
  if (s->transport == RAW) {
    s->device = cfuse_mount_with(s->target, "test", options);
    if (s->device < 0) die("mount of %s", s->target);
    return;
  }
  s->session = clibfuse_mount(s->target, "test", options, &s->service);
  if (!s->session) die("mount of %s through libfuse", s->target);
  s->device = clibfuse_device(s->session);
}

static void *serve(void *argument) {
  server *s = argument;
  return (void *)(intptr_t)(s->transport == RAW ? cfuse_serve_with(s->device, &s->service) : clibfuse_serve(s->session));
}

void server_start(server *s) {
  start_answers();
  for (int i = 0; i < 2; i++) {
    if (pthread_create(&s->threads[i], NULL, serve, s) != 0) die("no thread");
  }
}

bool server_end(server *s) {
  bool good = umount2(s->target, 0) == 0;
  if (!good) {
    note("unmount of %s: %s", s->target, strerror(errno));
    umount2(s->target, MNT_DETACH);
  }
  for (int i = 0; i < 2; i++) {
    void *result;
    pthread_join(s->threads[i], &result);
    if (result) note("a thread ended: %s", strerror((int)(intptr_t)result));
    good &= result == NULL;
  }
  while (atomic_load(&s->answered) != atomic_load(&s->asked)) pause_ms(1);
  if (s->transport == RAW)
    close(s->device);
  else
    clibfuse_close(s->session);
  if (s->service.state) munmap(s->service.state, cfuse_state_size(s->service.tree));
  return good;
}

cfuse_counters counters(const server *s) {
  cfuse_counters all;
  cfuse_counters_of(s->service.state, &all);
  return all;
}
