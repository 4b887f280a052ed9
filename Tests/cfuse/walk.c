#define _GNU_SOURCE
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef struct walker {
  const cfuse_tree *tree;
  walk_result result;
  uint8_t *wanted, *got;
} walker;

#define PIECE (1u << 20)

static void see(walker *w, const void *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) w->result.seen = (w->result.seen ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ull;
}

__attribute__((format(printf, 3, 4))) static void expect(walker *w, bool holds, const char *format, ...) {
  w->result.checks++;
  if (holds || w->result.differences++ >= 20) return;
  va_list list;
  va_start(list, format);
  fprintf(stderr, "# ");
  vfprintf(stderr, format, list);
  fprintf(stderr, "\n");
  va_end(list);
}

static void same(walker *w, const char *path, const char *what, uint64_t got, uint64_t wanted) {
  see(w, &got, sizeof got);
  expect(w, got == wanted, "%s: %s is %llu, not %llu", path, what, (unsigned long long)got, (unsigned long long)wanted);
}

static void status(walker *w, const char *path, int directory, const char *name, uint32_t node) {
  const cfuse_node *n = &w->tree->nodes[node];
  struct stat s;
  if (fstatat(directory, name, &s, AT_SYMLINK_NOFOLLOW) < 0) return expect(w, false, "%s: lstat: %s", path, strerror(errno));
  same(w, path, "inode", s.st_ino, node + 1);
  same(w, path, "mode", s.st_mode, n->mode);
  same(w, path, "links", s.st_nlink, n->links);
  same(w, path, "owner", s.st_uid, n->owner);
  same(w, path, "group", s.st_gid, n->group);
  same(w, path, "size", (uint64_t)s.st_size, n->size);
  same(w, path, "blocks", (uint64_t)s.st_blocks, (n->size + 511) / 512);
  same(w, path, "block size", (uint64_t)s.st_blksize, 4096);
  same(w, path, "seconds", (uint64_t)s.st_mtim.tv_sec, (uint64_t)n->seconds);
  same(w, path, "nanoseconds", (uint64_t)s.st_mtim.tv_nsec, n->nanoseconds);
  same(w, path, "change", (uint64_t)s.st_ctim.tv_nsec, n->nanoseconds);
  same(w, path, "major", major(s.st_rdev), n->major);
  same(w, path, "minor", minor(s.st_rdev), n->minor);
}

static void attributes(walker *w, const char *path, uint32_t node) {
  const cfuse_node *n = &w->tree->nodes[node];
  char list[4096], wanted[4096];
  size_t length = 0;
  for (uint32_t i = 0; i < n->attribute_count; i++) {
    const cfuse_attribute *a = &w->tree->attributes[n->attribute + i];
    memcpy(wanted + length, w->tree->text + a->name, a->name_length);
    length += a->name_length;
    wanted[length++] = 0;
    ssize_t asked = lgetxattr(path, wanted + length - a->name_length - 1, NULL, 0);
    expect(w, asked == a->value_length, "%s: an attribute's length is %zd, not %u", path, asked, a->value_length);
    ssize_t count = lgetxattr(path, wanted + length - a->name_length - 1, w->got, PIECE);
    expect(w, count == a->value_length && memcmp(w->got, w->tree->text + a->value, a->value_length) == 0, "%s: the value of an attribute", path);
    if (count > 0) see(w, w->got, (size_t)count);
    char narrow;
    if (a->value_length > 1) expect(w, lgetxattr(path, wanted + length - a->name_length - 1, &narrow, 1) < 0 && errno == ERANGE, "%s: ERANGE", path);
  }
  ssize_t asked = llistxattr(path, NULL, 0), count = llistxattr(path, list, sizeof list);
  expect(w, asked == (ssize_t)length && count == (ssize_t)length && memcmp(list, wanted, length) == 0, "%s: names of attributes, %zd bytes", path, count);
  if (count > 0) see(w, list, (size_t)count);
  if (!S_ISLNK(n->mode)) expect(w, lgetxattr(path, "user.absent", NULL, 0) < 0 && errno == ENODATA, "%s: an absent attribute: %s", path, strerror(errno));
}

static void contents(walker *w, const char *path, uint32_t node) {
  uint64_t size = w->tree->nodes[node].size;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return expect(w, false, "%s: open: %s", path, strerror(errno));
  uint64_t done = 0;
  for (;;) {
    ssize_t count = read(file, w->got, PIECE);
    if (count <= 0) {
      expect(w, count == 0 && done == size, "%s: read ends at %llu of %llu: %s", path, (unsigned long long)done, (unsigned long long)size, strerror(errno));
      break;
    }
    fill_bytes(node, done, w->wanted, (size_t)count);
    expect(w, memcmp(w->got, w->wanted, (size_t)count) == 0, "%s: bytes at %llu", path, (unsigned long long)done);
    see(w, w->got, (size_t)count < 4096 ? (size_t)count : 4096);
    done += (uint64_t)count;
  }
  if (size > 0) {
    // Other pages than read() has brought, as far as possible: these are dropped first.
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    uint8_t *mapped = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    expect(w, mapped != MAP_FAILED, "%s: mmap: %s", path, strerror(errno));
    for (uint64_t at = 0; mapped != MAP_FAILED && at < size; at += PIECE) {
      size_t part = size - at < PIECE ? size - at : PIECE;
      fill_bytes(node, at, w->wanted, part);
      expect(w, memcmp(mapped + at, w->wanted, part) == 0, "%s: mapped bytes at %llu", path, (unsigned long long)at);
    }
    if (mapped != MAP_FAILED) munmap(mapped, size);
  }
  close(file);
}

typedef struct listed {
  char name[256];
  uint64_t inode;
  unsigned char type;
} listed;

static int by_name(const void *a, const void *b) { return strcmp(((const listed *)a)->name, ((const listed *)b)->name); }

static void directory(walker *w, const char *path, uint32_t node) {
  const cfuse_node *n = &w->tree->nodes[node];
  DIR *open_directory = opendir(path);
  listed *all = calloc(n->count + 3, sizeof *all);
  if (!open_directory || !all) return expect(w, false, "%s: opendir: %s", path, strerror(errno));
  uint32_t count = 0, dots = 0;
  for (struct dirent *entry; (entry = readdir(open_directory));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
      dots++;
      continue;
    }
    if (count <= n->count) {
      snprintf(all[count].name, sizeof all[count].name, "%s", entry->d_name);
      all[count].inode = entry->d_ino;
      all[count].type = entry->d_type;
    }
    count++;
  }
  same(w, path, "number of names", count, n->count);
  same(w, path, "number of dots", dots, 2);
  if (count == n->count) {
    qsort(all, count, sizeof *all, by_name);
    for (uint32_t i = 0; i < count; i++) {
      const cfuse_name *name = &w->tree->names[n->first + i];
      const cfuse_node *child = &w->tree->nodes[name->node];
      bool is_it = strlen(all[i].name) == name->length && memcmp(all[i].name, w->tree->text + name->text, name->length) == 0;
      expect(w, is_it, "%s: name %u is %s", path, i, all[i].name);
      see(w, all[i].name, strlen(all[i].name));
      same(w, all[i].name, "listed inode", all[i].inode, name->node + 1);
      same(w, all[i].name, "listed type", all[i].type, child->mode >> 12);
      char below[8192];
      snprintf(below, sizeof below, "%s/%s", path, all[i].name);
      status(w, below, dirfd(open_directory), all[i].name, name->node);
      attributes(w, below, name->node);
      if (S_ISREG(child->mode)) contents(w, below, name->node);
      if (S_ISDIR(child->mode)) directory(w, below, name->node);
      if (S_ISLNK(child->mode)) {
        char target[4096];
        ssize_t length = readlink(below, target, sizeof target);
        expect(w, length == child->target_length && memcmp(target, w->tree->text + child->target, child->target_length) == 0, "%s: readlink", below);
        if (length > 0) see(w, target, (size_t)length);
      }
    }
  }
  // Names that are not there, twice: the second time without a question.
  struct stat unused;
  for (int i = 0; i < 2; i++) expect(w, fstatat(dirfd(open_directory), "absent", &unused, 0) < 0 && errno == ENOENT, "%s: an absent name", path);
  free(all);
  closedir(open_directory);
}

walk_result walk(const cfuse_tree *tree, const char *target) {
  walker w = {.tree = tree, .wanted = malloc(PIECE), .got = malloc(PIECE)};
  if (!w.wanted || !w.got) abort();
  struct statvfs statistics;
  expect(&w, statvfs(target, &statistics) == 0, "statvfs: %s", strerror(errno));
  same(&w, target, "blocks", statistics.f_blocks, (tree->bytes + 4095) / 4096);
  same(&w, target, "files", statistics.f_files, tree->node_count);
  same(&w, target, "longest name", statistics.f_namemax, 255);
  status(&w, target, AT_FDCWD, target, 0);
  directory(&w, target, 0);
  free(w.wanted);
  free(w.got);
  return w.result;
}
