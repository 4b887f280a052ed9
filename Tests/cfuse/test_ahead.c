// Small files that the kernel is given before it asks: those beside one that was read, and those of the directories that are listed next.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server.h"
#include "tap.h"
#include "tests.h"

// All files of the tree but the large one lie in an archive of two spans. What `long` has after its hundredth name lies in the second.
static server s;
static cfuse_tree tree;
static cfuse_archive archive;
static uint8_t present[2], touched[2], refused;
static int64_t ends[2];
static uint64_t answered;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int pushes, touches;

static void *push_now(void *argument) {
  static uint8_t buffer[CFUSE_SMALL];
  // One at a time.
  pthread_mutex_lock(&guard);
  cfuse_push_directory(&s.service, s.device, (uint32_t)(uintptr_t)argument, buffer);
  pthread_mutex_unlock(&guard);
  atomic_fetch_sub(&pushes, 1);
  return NULL;
}

static void push(void *context, int device, uint32_t directory) {
  (void)context, (void)device;
  pthread_t thread;
  atomic_fetch_add(&pushes, 1);
  if (pthread_create(&thread, NULL, push_now, (void *)(uintptr_t)directory) != 0) die("no thread");
  pthread_detach(thread);
}

static void touch(void *context, uint32_t layer, uint32_t span) {
  (void)context, (void)layer, (void)span;
  atomic_fetch_add(&touches, 1);
}

static void rest(void) {
  // What follows an answer, the count and the push, comes a moment after the reader has it.
  for (int quiet = 0; quiet < 100; quiet = atomic_load(&pushes) > 0 ? 0 : quiet + 1) pause_ms(1);
}

// How far a directory has been given away, in names.
static uint32_t given(uint32_t directory) { return __atomic_load_n(&s.service.ahead[directory], __ATOMIC_RELAXED) & 0x3fffffff; }

static void wait_given(uint32_t directory, uint32_t names) {
  for (int i = 0; i < 10000 && given(directory) < names; i++) pause_ms(1);
  rest();
}

static void put(cfuse_contents *contents, cfuse_piece *pieces, uint32_t node, int64_t *end) {
  uint64_t size = tree.nodes[node].size;
  uint8_t *bytes = malloc(size + 1);
  fill_bytes(node, 0, bytes, size);
  if (pwrite(archive.file, bytes, size, *end) != (ssize_t)size) die("the archive");
  free(bytes);
  contents[node] = (cfuse_contents){.first = tree.piece_count, .count = size > 0, .directory = tree.nodes[node].parent};
  if (size > 0) pieces[tree.piece_count++] = (cfuse_piece){.place = *end, .count = (int64_t)size};
  *end += (int64_t)size;
}

static uint32_t named(uint32_t directory, const char *name) { return (uint32_t)cfuse_find(&tree, directory, name, strlen(name)); }

static int is_late(uint32_t directory, uint32_t node) {
  const cfuse_name *names = &tree.names[tree.nodes[directory].first];
  for (uint32_t i = 100; i < tree.nodes[directory].count; i++) {
    if (names[i].node == node) return 1;
  }
  return 0;
}

// How many reads of a directory's files, from one name on, had to be asked for; -1 if the bytes are wrong.
static int asked_for(uint32_t directory, uint32_t first, uint32_t count) {
  uint64_t before = atomic_load(&s.asked);
  char path[8192];
  static uint8_t got[CFUSE_SMALL], wanted[CFUSE_SMALL];
  for (uint32_t i = first; i < first + count; i++) {
    uint32_t node = tree.names[tree.nodes[directory].first + i].node;
    if (!S_ISREG(tree.nodes[node].mode)) continue;
    snprintf(path, sizeof path, "%s/%s", s.target, path_of(&tree, node));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, got, sizeof got);
    close(file);
    fill_bytes(node, 0, wanted, tree.nodes[node].size);
    if (size != (ssize_t)tree.nodes[node].size || memcmp(got, wanted, (size_t)size) != 0) return -1;
  }
  rest();
  return (int)(atomic_load(&s.asked) - before);
}

static void look(uint32_t directory) {
  char path[8192];
  snprintf(path, sizeof path, "%s/%s", s.target, path_of(&tree, directory));
  DIR *stream = opendir(path);
  if (!stream) die("%s", path);
  while (readdir(stream)) continue;
  closedir(stream);
  rest();
}

void test_ahead(const char *directory) {
  char target[4096];
  snprintf(target, sizeof target, "%s/ahead", directory);
  if (mkdir(target, 0700) < 0) die("%s", target);
  server_make(&s, RAW, target, false);
  const made_tree *made = make_tree();
  tree = made->tree;
  uint32_t far = named(0, "long"), many = made->many, few = named(0, "links");
  cfuse_contents *contents = calloc(tree.node_count, sizeof *contents);
  cfuse_piece *pieces = calloc(tree.node_count, sizeof *pieces);
  int64_t end = 0;
  archive = (cfuse_archive){.file = memfd_create("archive", MFD_CLOEXEC), .count = 2, .present = present, .ends = (const uint8_t *)ends,
      .stride = sizeof *ends, .refused = &refused, .touched = touched};
  for (int late = 0; late < 2; late++) {
    for (uint32_t node = 0; node < tree.node_count; node++) {
      if (is_late(far, node) != late) continue;
      if (S_ISREG(tree.nodes[node].mode) && node != made->large) put(contents, pieces, node, &end);
      else contents[node].layer = 99;
    }
    ends[late] = end;
  }
  tree.contents = contents;
  tree.pieces = pieces;
  present[0] = 1;
  s.service.tree = &tree;
  s.service.archives = &archive;
  s.service.archive_count = 1;
  s.service.touch = touch;
  s.service.answered = &answered;
  s.service.ahead = calloc(tree.node_count + 1, sizeof *s.service.ahead);
  s.service.push = push;
  const cfuse_mount_options options = {.default_permissions = true, .read_only = true};
  server_mount(&s, &options);
  server_start(&s);

  look(few);
  refused = 1;
  ok(asked_for(few, 0, tree.nodes[few].count) == 1, "a directory that is listed before anything was read is not given away");
  refused = 0;
  look(many);
  ok(asked_for(many, 1, 1) == 0 && answered == 1, "one file is read, which is answered here");
  wait_given(many, 602);
  refused = 1;
  // The kernel takes back what it was given whenever it likes: one that looks for pages that nobody uses (DAMON) took one of a hundred at times.
  int left = asked_for(many, 2, 600);
  ok(left >= 0 && left <= 30, "then those beside it are there (but %d of 600)", left);
  refused = 0;
  // The next that is not there, until there is none.
  for (int round = 0; round < 100 && given(many) < tree.nodes[many].count; round++) {
    uint32_t next = given(many), left = tree.nodes[many].count - next;
    asked_for(many, next, left < 8 ? left : 8);
  }
  refused = 1;
  left = asked_for(many, 0, tree.nodes[many].count);
  ok(left >= 0 && left <= 125, "in the end all 2500 of them, a few MiB at a time (but %d)", left);
  refused = 0;
  look(far);
  wait_given(far, 100);
  ok(atomic_load(&touches) == 1 && touched[0] && !touched[1], "a span was read from, the other one not");
  refused = 1;
  // The first one has no bytes.
  left = asked_for(far, 0, 100);
  ok(left >= 0 && left <= 5, "the directory that is listed next is given away without a read (but %d)", left);
  int asked = asked_for(far, 100, 100);
  ok(asked == 100, "but for what is not here: %d of 100", asked);
  refused = 0;
  ok(server_end(&s), "ends when unmounted");
  close(archive.file);
  free(contents);
  free(pieces);
  free(s.service.ahead);
  rmdir(target);
}
