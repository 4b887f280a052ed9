// How fast a passed-through file is read, beside the file itself and kernel overlayfs: rounds interleaved, ratios within a round.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "CFuse.h"
#include "tap.h"

#define SIZE (1ull << 30)
#define READS 60000
#define ROUNDS 3

static int backing(void *context, uint32_t node) {
  (void)node;
  return open(context, O_RDONLY | O_CLOEXEC);
}

static void never(void *context, int device, uint64_t number, uint32_t thread, uint32_t node, uint64_t offset, uint32_t count) {
  (void)context, (void)thread, (void)node, (void)offset, (void)count;
  cfuse_reply(device, number, EIO, NULL, 0);
}

static void *serve(void *argument) {
  void **both = argument;
  return (void *)(intptr_t)cfuse_serve_with(*(int *)both[0], both[1]);
}

static uint8_t *buffer;

static int opened(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) die("%s", path);
  return file;
}

// Bytes a second.
static double sequential(const char *path) {
  int file = opened(path);
  double begun = seconds();
  uint64_t done = 0;
  for (ssize_t count; (count = read(file, buffer, 1 << 20)) > 0;) done += (uint64_t)count;
  double took = seconds() - begun;
  if (done != SIZE) die("%s: %llu bytes", path, (unsigned long long)done);
  close(file);
  return (double)done / took;
}

// Reads of 4 KiB a second.
static double scattered(const char *path) {
  int file = opened(path);
  uint64_t at = 88172645463325252ull;
  double begun = seconds();
  for (int i = 0; i < READS; i++) {
    at ^= at << 13, at ^= at >> 7, at ^= at << 17;
    if (pread(file, buffer, 4096, (off_t)(at % (SIZE / 4096) * 4096)) != 4096) die("%s", path);
  }
  double took = seconds() - begun;
  close(file);
  return READS / took;
}

// Opens a second, each closed again.
static double opens(const char *path) {
  double begun = seconds();
  for (int i = 0; i < 5000; i++) close(opened(path));
  return 5000 / (seconds() - begun);
}

static int by_size(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }
static double middle(double *values) {
  qsort(values, ROUNDS, sizeof *values, by_size);
  return values[ROUNDS / 2];
}

int main(int count, char **words) {
  if (count != 2) die("usage: %s <empty directory on ext4 or xfs, 1 GiB free>", words[0]);
  char lower[4096], upper[4096], target[4096], overlay[4096], options[16384], files[3][4200];
  snprintf(lower, sizeof lower, "%s/lower", words[1]);
  snprintf(upper, sizeof upper, "%s/other", words[1]);
  snprintf(target, sizeof target, "%s/fuse", words[1]);
  snprintf(overlay, sizeof overlay, "%s/overlay", words[1]);
  if (mkdir(lower, 0700) || mkdir(upper, 0700) || mkdir(target, 0700) || mkdir(overlay, 0700)) die("%s", words[1]);
  snprintf(files[0], sizeof files[0], "%s/file", lower);
  snprintf(files[1], sizeof files[1], "%s/file", target);
  snprintf(files[2], sizeof files[2], "%s/file", overlay);
  buffer = malloc(1 << 20);
  if (!buffer) die("no memory");
  int file = open(files[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  for (uint64_t done = 0; done < SIZE; done += 1 << 20) {
    memset(buffer, (int)(done >> 20), 1 << 20);
    if (write(file, buffer, 1 << 20) != 1 << 20) die("%s", files[0]);
  }
  close(file);

  const cfuse_node nodes[] = {{.mode = S_IFDIR | 0755, .links = 2, .count = 1}, {.mode = S_IFREG | 0644, .links = 1, .size = SIZE}};
  const cfuse_name names[] = {{.node = 1, .length = 4}};
  const cfuse_tree tree = {.nodes = nodes, .names = names, .text = (const uint8_t *)"file", .node_count = 2, .bytes = SIZE};
  cfuse_service service = {.tree = &tree, .read = never, .context = files[0], .state = calloc(1, cfuse_state_size(&tree)), .backing = backing, .kept = 16};
  int device = cfuse_mount(target, "bench");
  if (device < 0 || !service.state) die("%s", target);
  void *both[] = {&device, &service};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    if (pthread_create(&threads[i], NULL, serve, both) != 0) die("no thread");
  }
  snprintf(options, sizeof options, "lowerdir=%s:%s", lower, upper);
  if (mount("overlay", overlay, "overlay", MS_RDONLY, options) < 0) die("%s", overlay);

  static const char *const sorts[] = {"sequential 1 GiB, GB/s", "random 4 KiB, thousand/s", "open and close, thousand/s"};
  double (*const measures[])(const char *) = {sequential, scattered, opens};
  static const double units[] = {1e9, 1e3, 1e3};
  printf("%-28s %8s %8s %8s %14s %14s\n", "medians of 3 rounds", "native", "passed", "overlay", "passed/native", "passed/overlay");
  for (int m = 0; m < 3; m++) {
    double values[3][ROUNDS], to_native[ROUNDS], to_overlay[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
      for (int turn = 0; turn < 3; turn++) {
        // Each round begins with another one; what lies below is in the page cache.
        int which = (turn + round) % 3;
        sequential(files[0]);
        values[which][round] = measures[m](files[which]);
      }
      to_native[round] = values[1][round] / values[0][round];
      to_overlay[round] = values[1][round] / values[2][round];
    }
    printf("%-28s %8.2f %8.2f %8.2f %14.2f %14.2f\n", sorts[m], middle(values[0]) / units[m], middle(values[1]) / units[m], middle(values[2]) / units[m],
           middle(to_native), middle(to_overlay));
  }
  cfuse_counters all;
  cfuse_counters_of(service.state, &all);
  printf("%llu opens passed through, %llu cached, %llu reads\n", (unsigned long long)all.opens_passthrough, (unsigned long long)all.opens_cached,
         (unsigned long long)all.reads);
  umount2(overlay, 0);
  umount2(target, 0);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  // A ratio that something else than passing through gave is none.
  return all.opens_cached != 0 || all.reads != 0;
}
