// Everything that can be seen of a tree, through both transports and both modes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "server.h"
#include "tap.h"
#include "tests.h"
#include "walk.h"

static uint64_t walk_through(const char *target, transport transport, bool with_opens) {
  const char *name = transport == RAW ? "raw" : "libfuse", *mode = with_opens ? "opens answered" : "opens refused";
  const cfuse_mount_options options = {.allow_other = true, .default_permissions = true, .read_only = true};
  server s;
  server_make(&s, transport, target, with_opens);
  server_mount(&s, &options);
  server_start(&s);
  double begun = seconds();
  walk_result first = walk(s.service.tree, target);
  double cold = seconds() - begun;
  uint64_t asked = atomic_load(&s.asked);
  ok(first.differences == 0, "%s, %s: what is seen is the tree (%llu checks, %.2f s, %llu reads)", name, mode, (unsigned long long)first.checks, cold,
     (unsigned long long)asked);
  walk_result again = walk(s.service.tree, target);
  ok(again.differences == 0 && again.seen == first.seen, "%s, %s: and again", name, mode);
  if (with_opens) {
    cfuse_counters all = counters(&s);
    ok(all.opens_cached > 5000 && all.opens_passthrough == 0 && all.reads == atomic_load(&s.asked), "%s: opens are counted (%llu), reads too (%llu)", name,
       (unsigned long long)all.opens_cached, (unsigned long long)all.reads);
  }
  ok(server_end(&s), "%s, %s: ends when unmounted", name, mode);
  return first.seen;
}

static void refused(const char *target, transport transport, bool with_opens) {
  const char *name = transport == RAW ? "raw" : "libfuse";
  const cfuse_mount_options options = {.default_permissions = true, .nosuid = true, .nodev = true};
  server s;
  server_make(&s, transport, target, with_opens);
  server_mount(&s, &options);
  server_start(&s);
  char path[8192], other[8192];
  snprintf(path, sizeof path, "%s/new", target);
  snprintf(other, sizeof other, "%s/large", target);
  ok(mkdir(path, 0700) < 0 && errno == EROFS, "%s: mkdir in a mount that is not read-only is EROFS", name);
  ok(link(other, path) < 0 && errno == EROFS && unlink(other) < 0 && errno == EROFS && rename(other, path) < 0 && errno == EROFS,
     "%s: so are link, unlink and rename", name);
  ok(chmod(other, 0) < 0 && errno == EROFS && truncate(other, 0) < 0 && errno == EROFS && open(path, O_CREAT | O_WRONLY, 0600) < 0 && errno == EROFS,
     "%s: so are chmod, truncate and create", name);
  int file = open(other, O_WRONLY | O_CLOEXEC);
  if (with_opens)
    ok(file < 0 && errno == EROFS, "%s: so is an open to write", name);
  else
    ok(file >= 0 && write(file, "x", 1) < 0 && errno == EROFS, "%s: so is a write", name);
  if (file >= 0) close(file);
  struct statvfs flags;
  ok(statvfs(target, &flags) == 0 && (flags.f_flag & (ST_NOSUID | ST_NODEV | ST_RDONLY)) == (ST_NOSUID | ST_NODEV), "%s: nosuid and nodev as asked for", name);
  ok(server_end(&s), "%s: ends when unmounted", name);
}

void test_walk(const char *directory) {
  char target[4096];
  snprintf(target, sizeof target, "%s/walk", directory);
  if (mkdir(target, 0700) < 0) die("%s", target);
  uint64_t seen[4];
  for (int i = 0; i < 4; i++) seen[i] = walk_through(target, i & 1 ? LIBRARY : RAW, i & 2);
  ok(seen[0] == seen[1] && seen[1] == seen[2] && seen[2] == seen[3], "both transports show the same in both modes (%016llx)", (unsigned long long)seen[0]);
  for (int i = 0; i < 4; i++) refused(target, i & 1 ? LIBRARY : RAW, i & 2);
  rmdir(target);
}
