// A catalog: what a directory holds, all the way down, written down once, so that a union over it asks the file system for no name and no attribute. For
// directories that nobody writes to any more.
//
// The file is of this machine, in its own byte order: head, directories, entries, names. A directory's entries stand side by side, by their names' bytes.
// Directory 1 is the whole one; each other has a larger number than the one that it is in. Entries and directories are counted from 1, in the file from 0.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define CATALOG_MAGIC 0x31676f6c61746163ull
#define CATALOG_SUM 14695981039346656037ull  // of nothing

// The attribute by which a directory hides what lies below it: trusted.overlay.opaque, user.overlay.opaque.
enum { CATALOG_OPAQUE_TRUSTED = 1, CATALOG_OPAQUE_USER = 2 };

struct catalog_head {
  uint64_t magic, size, sum;  // `sum`: of all that follows it
  // Of the directory: its number and last change tell that this is still the one, its owner that whoever made this saw it as whoever reads it does (user namespaces).
  uint64_t ino;
  int64_t changed;
  uint32_t changed_nanoseconds;
  uint32_t uid, gid;
  uint32_t directories, entries, names;  // `names`: bytes, a multiple of 8
};

struct catalog_directory {
  uint32_t first, count;
};

struct catalog_entry {
  uint64_t ino, size, blocks, rdev;
  int64_t accessed, modified, changed;
  uint32_t accessed_nanoseconds, modified_nanoseconds, changed_nanoseconds;
  uint32_t mode, uid, gid, links, block_size;
  uint32_t name;       // where it begins among the names; a zero follows
  uint32_t directory;  // its number, of a directory
  uint8_t length, marks;
  uint8_t unused[6];
};

struct catalog {
  const struct catalog_head *head;  // NULL: there is none
  const struct catalog_directory *directories;
  const struct catalog_entry *entries;
  const char *names;
};

// catalog.c
int catalog_open(struct catalog *, const char *path, int directory);
void catalog_close(struct catalog *);
uint64_t catalog_identity(const struct catalog *);
const struct catalog_entry *catalog_entry(const struct catalog *, uint32_t number);
const char *catalog_name(const struct catalog *, const struct catalog_entry *);
uint32_t catalog_find(const struct catalog *, uint32_t directory, const char *name, size_t length);
void catalog_stat(const struct catalog_entry *, struct stat *);
uint64_t catalog_sum(uint64_t sum, const void *words, size_t size);
