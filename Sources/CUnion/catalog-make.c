// Making a catalog: a walk through a directory.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "union.h"

// A descriptor is open for each directory on the way down.
#define DEEPEST 128

struct list {
  uint8_t *bytes;
  size_t used, room;
};

struct maker {
  struct list directories, entries, names;
};

// Room for more at the end; NULL and errno. What was there may move.
static void *extend(struct list *list, size_t size) {
  if (list->used + size > UINT32_MAX) {
    errno = EFBIG;
    return NULL;
  }
  if (!list->bytes || list->used + size > list->room) {
    size_t room = list->room * 2 > list->used + size ? list->room * 2 : list->used + size + 65536;
    uint8_t *bytes = realloc(list->bytes, room);
    if (!bytes) return NULL;
    list->bytes = bytes;
    list->room = room;
  }
  void *start = list->bytes + list->used;
  list->used += size;
  memset(start, 0, size);
  return start;
}

static struct catalog_entry *entries_of(struct maker *maker) { return (struct catalog_entry *)maker->entries.bytes; }

static int by_name(const void *one, const void *other, void *context) {
  const struct catalog_entry *first = one, *second = other;
  const struct maker *maker = context;
  return strcmp((const char *)maker->names.bytes + first->name, (const char *)maker->names.bytes + second->name);
}

static uint8_t marks_of(int directory) {
  char value[4];
  int trusted = fgetxattr(directory, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
  int user = fgetxattr(directory, "user.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
  return (uint8_t)((trusted ? CATALOG_OPAQUE_TRUSTED : 0) | (user ? CATALOG_OPAQUE_USER : 0));
}

static int add(struct maker *maker, int directory, const char *name) {
  struct stat file;
  if (fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) < 0) return errno;
  size_t length = strlen(name), at = maker->names.used;
  if (length > NAME_MAX) return ENAMETOOLONG;
  char *text = extend(&maker->names, length + 1);
  struct catalog_entry *entry = text ? extend(&maker->entries, sizeof *entry) : NULL;
  if (!entry) return errno;
  memcpy(text, name, length);
  *entry = (struct catalog_entry){
      .ino = file.st_ino, .size = (uint64_t)file.st_size, .blocks = (uint64_t)file.st_blocks, .rdev = file.st_rdev, .accessed = file.st_atim.tv_sec,
      .modified = file.st_mtim.tv_sec, .changed = file.st_ctim.tv_sec, .accessed_nanoseconds = (uint32_t)file.st_atim.tv_nsec,
      .modified_nanoseconds = (uint32_t)file.st_mtim.tv_nsec, .changed_nanoseconds = (uint32_t)file.st_ctim.tv_nsec, .mode = file.st_mode,
      .uid = file.st_uid, .gid = file.st_gid, .links = (uint32_t)file.st_nlink, .block_size = (uint32_t)file.st_blksize, .name = (uint32_t)at,
      .length = (uint8_t)length};
  return 0;
}

static int walk(struct maker *maker, int fd, unsigned depth);

static int walk_into(struct maker *maker, int directory, uint32_t place, unsigned depth) {
  int fd = openat(directory, (const char *)maker->names.bytes + entries_of(maker)[place].name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  entries_of(maker)[place].marks = marks_of(fd);
  entries_of(maker)[place].directory = (uint32_t)(maker->directories.used / sizeof(struct catalog_directory)) + 1;
  return walk(maker, fd, depth + 1);
}

static int is_unchanged(const struct stat *before, const struct stat *after) {
  return before->st_ctim.tv_sec == after->st_ctim.tv_sec && before->st_ctim.tv_nsec == after->st_ctim.tv_nsec;
}

// Closes `fd`.
static int walk(struct maker *maker, int fd, unsigned depth) {
  if (depth > DEEPEST) {
    close(fd);
    return ENAMETOOLONG;
  }
  uint32_t first = (uint32_t)(maker->entries.used / sizeof(struct catalog_entry));
  size_t at = maker->directories.used;
  DIR *list = fdopendir(fd);
  if (!list) {
    close(fd);
    return ENOMEM;
  }
  struct stat before, after;
  int error = fstat(fd, &before) < 0 ? errno : 0;
  errno = 0;
  for (struct dirent *entry; !error && (entry = readdir(list)); errno = 0)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) error = add(maker, fd, entry->d_name);
  if (!error) error = errno;
  struct catalog_directory *directory = error ? NULL : extend(&maker->directories, sizeof *directory);
  if (!error && !directory) error = errno;
  if (!error) {
    uint32_t count = (uint32_t)(maker->entries.used / sizeof(struct catalog_entry)) - first;
    *(struct catalog_directory *)(maker->directories.bytes + at) = (struct catalog_directory){first, count};
    if (count) qsort_r(entries_of(maker) + first, count, sizeof(struct catalog_entry), by_name, maker);
    for (uint32_t i = first; i < first + count && !error; i++)
      if (S_ISDIR(entries_of(maker)[i].mode)) error = walk_into(maker, fd, i, depth);
  }
  if (!error && fstat(fd, &after) < 0) error = errno;
  if (!error && !is_unchanged(&before, &after)) error = EAGAIN;
  closedir(list);
  return error;
}

static int save(struct maker *maker, const struct stat *about, const char *path) {
  if (!extend(&maker->names, (8 - maker->names.used % 8) % 8)) return errno;
  struct list parts[] = {maker->directories, maker->entries, maker->names};
  struct catalog_head head = {
      .magic = CATALOG_MAGIC, .size = sizeof head, .ino = about->st_ino, .changed = about->st_ctim.tv_sec,
      .changed_nanoseconds = (uint32_t)about->st_ctim.tv_nsec, .uid = about->st_uid, .gid = about->st_gid,
      .directories = (uint32_t)(parts[0].used / sizeof(struct catalog_directory)), .entries = (uint32_t)(parts[1].used / sizeof(struct catalog_entry)), .names = (uint32_t)parts[2].used};
  for (int i = 0; i < 3; i++) head.size += parts[i].used;
  struct list whole = {0};
  uint8_t *bytes = head.size <= UINT32_MAX ? extend(&whole, head.size) : NULL;
  char fresh[PATH_MAX];
  if (!bytes || snprintf(fresh, sizeof fresh, "%s.XXXXXX", path) >= (int)sizeof fresh) {
    free(bytes);
    return bytes ? ENAMETOOLONG : EFBIG;
  }
  size_t used = sizeof head;
  for (int i = 0; i < 3; used += parts[i++].used)
    if (parts[i].used) memcpy(bytes + used, parts[i].bytes, parts[i].used);
  memcpy(bytes, &head, sizeof head);
  size_t from = offsetof(struct catalog_head, ino);
  ((struct catalog_head *)bytes)->sum = catalog_sum(CATALOG_SUM, bytes + from, head.size - from);
  int fd = mkostemp(fresh, O_CLOEXEC), error = fd < 0 ? errno : 0;
  for (size_t done = 0; !error && done < head.size;) {
    ssize_t count = write(fd, bytes + done, head.size - done);
    if (count < 0 && errno != EINTR) error = errno;
    if (count > 0) done += (size_t)count;
  }
  if (!error && fdatasync(fd) < 0) error = errno;
  if (fd >= 0) close(fd);
  if (!error && rename(fresh, path) < 0) error = errno;
  if (error && fd >= 0) unlink(fresh);
  free(bytes);
  return error;
}

int cunion_catalog(const char *directory, const char *file) {
  struct maker maker = {0};
  // As it is before: whatever changes it from here on makes the catalog one of another directory.
  struct stat about;
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = fstat(fd, &about) < 0 ? errno : 0;
  if (error)
    close(fd);
  else
    error = walk(&maker, fd, 0);
  if (!error) error = save(&maker, &about, file);
  free(maker.directories.bytes);
  free(maker.entries.bytes);
  free(maker.names.bytes);
  return error;
}
