// What was pushed is not asked for.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server.h"
#include "tap.h"
#include "tests.h"

static void push(const char *target, transport transport) {
  const char *name = transport == RAW ? "raw" : "libfuse";
  const cfuse_mount_options options = {.default_permissions = true, .read_only = true};
  const made_tree *made = make_tree();
  server s;
  server_make(&s, transport, target, false);
  server_mount(&s, &options);
  server_start(&s);
  uint64_t size = made->tree.nodes[made->small].size;
  uint8_t *bytes = malloc(size), *got = malloc(size);
  char path[8192];
  snprintf(path, sizeof path, "%s/%s", target, path_of(&made->tree, made->small));
  fill_bytes(made->small, 0, bytes, size);
  ok(cfuse_push(s.device, made->small, 0, bytes, size) == ENOENT, "%s: an inode that nobody has looked up takes nothing: ENOENT", name);
  struct stat status;
  if (stat(path, &status) < 0) die("%s", path);
  ok(cfuse_push(s.device, made->small, 0, bytes, size) == 0, "%s: one that was looked up does", name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t count = file < 0 ? -1 : read(file, got, size);
  ok(count == (ssize_t)size && memcmp(got, bytes, size) == 0 && atomic_load(&s.asked) == 0, "%s: its %zd bytes are read without a question", name, count);
  close(file);
  // Not so the next file, which shows that questions are counted at all.
  snprintf(path, sizeof path, "%s/%s", target, path_of(&made->tree, made->small + 1));
  file = open(path, O_RDONLY | O_CLOEXEC);
  count = file < 0 ? -1 : read(file, got, 1);
  ok(count == 1 && atomic_load(&s.asked) == 1, "%s: its neighbour is asked for", name);
  close(file);
  free(bytes);
  free(got);
  ok(server_end(&s), "%s: ends when unmounted", name);
}

void test_push(const char *directory) {
  char target[4096];
  snprintf(target, sizeof target, "%s/push", directory);
  if (mkdir(target, 0700) < 0) die("%s", target);
  push(target, RAW);
  push(target, LIBRARY);
  rmdir(target);
}
