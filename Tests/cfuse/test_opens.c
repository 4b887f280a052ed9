// Files that become complete while they are open, and those the kernel does not take.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server.h"
#include "tap.h"
#include "tests.h"

static server s;
static char path[8192];
static uint32_t node;

// Whether a file holds what it should at some places, read through a descriptor.
static bool holds(int file, bool mapped) {
  uint64_t size = s.service.tree->nodes[node].size;
  uint8_t wanted[4096], got[4096];
  uint8_t *all = mapped ? mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0) : NULL;
  bool good = all != MAP_FAILED;
  for (uint64_t at = 0; good && at + sizeof got <= size; at += 1000003) {
    fill_bytes(node, at, wanted, sizeof wanted);
    if (mapped)
      memcpy(got, all + at, sizeof got);
    else if (pread(file, got, sizeof got, (off_t)at) != sizeof got)
      good = false;
    good = good && memcmp(wanted, got, sizeof got) == 0;
  }
  if (mapped && all != MAP_FAILED) munmap(all, size);
  return good;
}

static int open_it(void) { return open(path, O_RDONLY | O_CLOEXEC); }

// RELEASE comes some time after close(). An open that is passed through after all of these have come shows that the last one has.
static int open_until_passed(void) {
  for (int i = 0; i < 500; i++) {
    uint64_t before = counters(&s).opens_passthrough;
    int file = open_it();
    if (file < 0 || counters(&s).opens_passthrough > before) return file;
    close(file);
    pause_ms(2);
  }
  errno = ETIMEDOUT;
  return -1;
}

static uint32_t keep;
static void begin(const char *target, transport transport, int complete) {
  const cfuse_mount_options options = {.default_permissions = true, .read_only = true};
  server_make(&s, transport, target, true);
  s.complete = complete;
  s.service.kept = keep;
  server_mount(&s, &options);
  server_start(&s);
  node = make_tree()->large;
  snprintf(path, sizeof path, "%s/%s", target, path_of(s.service.tree, node));
}

static void matrix(const char *target, transport transport, int complete) {
  const char *name = transport == RAW ? "raw" : "libfuse";
  char number[16];
  snprintf(number, sizeof number, "%u", make_tree()->large);
  unlinkat(complete, number, 0);
  begin(target, transport, complete);

  int first = open_it();
  ok(first >= 0 && holds(first, false) && counters(&s).opens_cached == 1, "%s: an incomplete file is opened cached", name);
  complete_file(&s, node);
  int second = open_it();
  ok(second >= 0 && holds(second, true) && counters(&s).opens_cached == 2 && counters(&s).backings == 0, "%s: complete, while open: still cached", name);
  close(first);
  void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, second, 0);
  close(second);
  pause_ms(20);
  int third = open_it();
  ok(third >= 0 && counters(&s).opens_cached == 3, "%s: closed, but mapped: still cached", name);
  close(third);
  uint8_t wanted[4096];
  fill_bytes(node, 0, wanted, sizeof wanted);
  ok(map != MAP_FAILED && memcmp(map, wanted, 4096) == 0, "%s: the mapping holds", name);
  munmap(map, 4096);
  int passed = open_until_passed();
  ok(passed >= 0 && counters(&s).backings == 1, "%s: after the last close: passed through", name);
  uint64_t asked = atomic_load(&s.asked);
  posix_fadvise(passed, 0, 0, POSIX_FADV_DONTNEED);
  ok(holds(passed, false) && holds(passed, true) && atomic_load(&s.asked) == asked, "%s: its bytes are the same and cost no question", name);

  // Complete no more (its bytes were evicted, say): as long as it is open, the kernel keeps what it has.
  unlinkat(complete, number, 0);
  int fourth = open_it();
  ok(fourth >= 0 && holds(fourth, false) && counters(&s).opens_passthrough == 2 && counters(&s).backings == 1,
     "%s: a second open shares the first one's backing file", name);
  map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, passed, 0);
  close(passed);
  close(fourth);
  bool cached = false;
  for (int i = 0; i < 500 && !cached; i++, pause_ms(2)) {
    uint64_t before = counters(&s).opens_cached;
    int file = open_it();
    if (file < 0) break;
    cached = counters(&s).opens_cached > before && holds(file, false);
    close(file);
  }
  ok(cached, "%s: after the last close: cached, as its bytes are gone", name);
  ok(map != MAP_FAILED && memcmp(map, wanted, 4096) == 0, "%s: the mapping of the passed-through file still holds", name);
  munmap(map, 4096);

  complete_file(&s, node);
  passed = open_until_passed();
  ok(passed >= 0 && counters(&s).backings == 2 && holds(passed, true), "%s: and passed through again", name);
  close(passed);
  ok(server_end(&s), "%s: ends when unmounted", name);
}

typedef struct hurried {
  uint32_t seed;
  uint64_t opens, failures;
} hurried;

static _Atomic bool stop;
// With one backing file that may be kept, a second file that pushes it out.
static char beside[8192];

static void *hurry(void *argument) {
  hurried *h = argument;
  while (!atomic_load(&stop)) {
    h->seed = h->seed * 1103515245 + 12345;
    bool other = keep && (h->seed >> 20 & 1);
    int file = other ? open(beside, O_RDONLY | O_CLOEXEC) : open_it();
    uint8_t got[512], wanted[512];
    uint64_t at = h->seed % (other ? 4096 : 20 << 20);
    fill_bytes(other ? make_tree()->small : node, at, wanted, sizeof wanted);
    h->opens++;
    if (file < 0 || pread(file, got, sizeof got, (off_t)at) != sizeof got || memcmp(got, wanted, sizeof got) != 0) {
      if (h->failures++ == 0) note("open or read: %s", strerror(errno));
    }
    if (file >= 0) close(file);
    // Now and then none has it open.
    if (h->seed >> 29 == 0) pause_ms(1);
  }
  return NULL;
}

// Many open and close one file while it is complete and then not, over and over. A mode that is wrong once is an EIO.
static void race(const char *target, transport transport, int complete) {
  const char *name = transport == RAW ? "raw" : "libfuse";
  begin(target, transport, complete);
  complete_file(&s, make_tree()->small);
  snprintf(beside, sizeof beside, "%s/%s", target, path_of(s.service.tree, make_tree()->small));
  hurried all[4];
  pthread_t threads[4];
  atomic_store(&stop, false);
  for (uint32_t i = 0; i < 4; i++) {
    all[i] = (hurried){.seed = i};
    if (pthread_create(&threads[i], NULL, hurry, &all[i]) != 0) die("no thread");
  }
  char number[16], away[24];
  snprintf(number, sizeof number, "%u", node);
  snprintf(away, sizeof away, "%s.away", number);
  double end = seconds() + 1.5;
  for (int i = 0; seconds() < end; i++, pause_ms(3)) {
    if (renameat(complete, i & 1 ? away : number, complete, i & 1 ? number : away) < 0) die("rename of a complete file");
  }
  atomic_store(&stop, true);
  uint64_t opens = 0, failures = 0;
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    opens += all[i].opens;
    failures += all[i].failures;
  }
  renameat(complete, away, complete, number);
  cfuse_counters c = counters(&s);
  ok(failures == 0 && c.opens_cached + c.opens_passthrough == opens,
     "%s: %llu hurried opens, none fails (%llu cached, %llu passed through, %llu backings)", name, (unsigned long long)opens,
     (unsigned long long)c.opens_cached, (unsigned long long)c.opens_passthrough, (unsigned long long)c.backings);
  ok(c.opens_passthrough > 100 && c.opens_cached > 100 && c.backings > 10, "%s: both modes were met, and left", name);
  ok(server_end(&s), "%s: ends when unmounted", name);
}

// Opens a file of the directory with thousands, once. Gives whether it was passed through, and right.
static bool passes(const char *target, uint32_t which) {
  uint32_t kept_node = node;
  uint8_t got[9000], wanted[9000];
  uint64_t before = counters(&s).opens_passthrough, size = s.service.tree->nodes[which].size;
  snprintf(path, sizeof path, "%s/%s", target, path_of(s.service.tree, which));
  node = which;
  int file = open_until_passed();
  fill_bytes(which, 0, wanted, size);
  bool good = file >= 0 && pread(file, got, sizeof got, 0) == (ssize_t)size && memcmp(got, wanted, size) == 0 && counters(&s).opens_passthrough == before + 1;
  close(file);
  // Until its RELEASE has come, which is soon.
  pause_ms(100);
  node = kept_node;
  return good;
}

static void kept(const char *target, transport transport, int complete) {
  const char *name = transport == RAW ? "raw" : "libfuse";
  keep = 2;
  begin(target, transport, complete);
  keep = 0;
  uint32_t first = make_tree()->small;
  for (uint32_t i = 0; i < 3; i++) complete_file(&s, first + i);
  ok(passes(target, first) && passes(target, first) && passes(target, first) && counters(&s).backings == 1, "%s: a kept file is not asked for again", name);
  ok(passes(target, first + 1) && passes(target, first) && counters(&s).backings == 2, "%s: nor when another one is kept", name);
  ok(passes(target, first + 2) && passes(target, first + 1) && counters(&s).backings == 3, "%s: a third pushes out the first to be kept", name);
  ok(passes(target, first) && counters(&s).backings == 4, "%s: which is asked for again", name);
  ok(server_end(&s), "%s: ends when unmounted", name);
}

// Bytes on a stacked file system, or of another size.
static void refused(const char *directory, const char *target, transport transport, int complete) {
  const char *name = transport == RAW ? "raw" : "libfuse";
  char stacked[4096], options[16384];
  snprintf(stacked, sizeof stacked, "%s/stacked", directory);
  snprintf(options, sizeof options, "lowerdir=%s/complete:%s/walk", directory, directory);
  if (mkdir(stacked, 0700) < 0 || mount("overlay", stacked, "overlay", MS_RDONLY, options) < 0) die("overlay for a test: %s", options);
  int over = open(stacked, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  begin(target, transport, over);
  int file = open_it();
  cfuse_counters c = counters(&s);
  ok(file >= 0 && holds(file, false) && c.opens_cached == 1 && c.passthrough_off == ELOOP && c.backing_failures == 1,
     "%s: bytes on an overlay are refused once, for good, and said to be (%s)", name, strerror(c.passthrough_off));
  close(file);
  s.complete = complete;
  pause_ms(20);
  file = open_it();
  ok(file >= 0 && counters(&s).opens_cached == 2 && counters(&s).backing_failures == 1, "%s: nothing is tried again", name);
  close(file);
  ok(server_end(&s), "%s: ends when unmounted", name);
  close(over);
  umount2(stacked, 0);
  rmdir(stacked);

  begin(target, transport, complete);
  char number[16];
  snprintf(number, sizeof number, "%u", node);
  int shorter = openat(complete, number, O_WRONLY | O_CLOEXEC);
  if (shorter < 0 || ftruncate(shorter, 4096) < 0) die("a file that is too short");
  close(shorter);
  file = open_it();
  c = counters(&s);
  ok(file >= 0 && holds(file, false) && c.opens_cached == 1 && c.backing_error == EBADMSG && c.passthrough_off == 0,
     "%s: a file of another size is not passed through, others may be", name);
  close(file);
  complete_file(&s, node);
  file = open_until_passed();
  ok(file >= 0 && holds(file, false), "%s: whole again, it is", name);
  close(file);
  ok(server_end(&s), "%s: ends when unmounted", name);
}

void test_opens(const char *directory) {
  char target[4096], store[4096], below[4096];
  snprintf(target, sizeof target, "%s/opens", directory);
  snprintf(store, sizeof store, "%s/complete", directory);
  snprintf(below, sizeof below, "%s/walk", directory);
  if (mkdir(target, 0700) < 0 || mkdir(store, 0700) < 0 || mkdir(below, 0700) < 0) die("%s", target);
  int complete = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < 2; i++) {
    transport transport = i ? LIBRARY : RAW;
    matrix(target, transport, complete);
    race(target, transport, complete);
    keep = 1;
    race(target, transport, complete);
    keep = 0;
    kept(target, transport, complete);
    refused(directory, target, transport, complete);
  }
  close(complete);
  rmdir(below);
  rmdir(target);
}
