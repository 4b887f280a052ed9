// Reading a catalog. One that cannot be used is no error: then the file system is asked.
#define _GNU_SOURCE
#include "catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(sizeof(struct catalog_head) % 8 == 0 && sizeof(struct catalog_directory) % 8 == 0, "the sum is of words");
_Static_assert(sizeof(struct catalog_entry) % 8 == 0, "the sum is of words");

// Against a file that was torn or has decayed, not against one that somebody has made to deceive: it is as trusted as the layer itself.
uint64_t catalog_sum(uint64_t sum, const void *words, size_t size) {
  const uint64_t *word = words;
  for (size_t i = 0; i < size / 8; i++) {
    sum = (sum ^ word[i]) * 0x9e3779b97f4a7c15ull;
    sum ^= sum >> 29;
  }
  return sum;
}

// Reads all of it, which a mapping would answer with a signal if the disk cannot.
static int is_whole(int fd, size_t size) {
  _Alignas(uint64_t) uint8_t bytes[32768];
  const size_t head = offsetof(struct catalog_head, sum) + sizeof(uint64_t);
  uint64_t expected = 0, sum = CATALOG_SUM;
  for (size_t done = 0; done < size;) {
    size_t want = size - done < sizeof bytes ? size - done : sizeof bytes, from = done ? 0 : head;
    for (size_t got = 0; got < want;) {
      ssize_t count = pread(fd, bytes + got, want - got, (off_t)(done + got));
      if (count <= 0) return 0;
      got += (size_t)count;
    }
    if (!done) memcpy(&expected, bytes + head - sizeof expected, sizeof expected);
    sum = catalog_sum(sum, bytes + from, want - from);
    done += want;
  }
  return sum == expected;
}

static int is_sound(const struct catalog *catalog, size_t size) {
  const struct catalog_head *head = catalog->head;
  uint64_t lists = (uint64_t)head->directories * sizeof(struct catalog_directory) + (uint64_t)head->entries * sizeof(struct catalog_entry);
  uint64_t whole = sizeof *head + lists + head->names;
  if (head->magic != CATALOG_MAGIC || head->size != size || whole != size || head->names % 8 || !head->directories) return 0;
  for (uint32_t i = 0; i < head->directories; i++) {
    const struct catalog_directory *one = &catalog->directories[i];
    if (one->first > head->entries || one->count > head->entries - one->first) return 0;
    for (uint32_t k = one->first; k < one->first + one->count; k++) {
      const struct catalog_entry *entry = &catalog->entries[k];
      if (!entry->length || entry->name >= head->names || entry->length >= head->names - entry->name || catalog->names[entry->name + entry->length]) return 0;
      // No directory is within itself.
      if (S_ISDIR(entry->mode) ? entry->directory < i + 2 || entry->directory > head->directories : entry->directory != 0) return 0;
    }
  }
  return 1;
}

// 0, or -1: there is none, or it is not of this directory as it is now.
int catalog_open(struct catalog *catalog, const char *path, int directory) {
  struct stat file, about;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  void *start = MAP_FAILED;
  if (fstat(fd, &file) == 0 && file.st_size >= (off_t)sizeof(struct catalog_head) && file.st_size % 8 == 0 && is_whole(fd, (size_t)file.st_size))
    start = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (start == MAP_FAILED) return -1;
  catalog->head = start;
  catalog->directories = (const struct catalog_directory *)(catalog->head + 1);
  catalog->entries = (const struct catalog_entry *)(catalog->directories + catalog->head->directories);
  catalog->names = (const char *)(catalog->entries + catalog->head->entries);
  size_t size = (size_t)file.st_size;
  const struct catalog_head *head = start;
  if (is_sound(catalog, size) && fstat(directory, &about) == 0 && about.st_ino == head->ino && about.st_ctim.tv_sec == head->changed &&
      about.st_ctim.tv_nsec == head->changed_nanoseconds && about.st_uid == head->uid && about.st_gid == head->gid)
    return 0;
  munmap(start, size);
  *catalog = (struct catalog){0};
  return -1;
}

void catalog_close(struct catalog *catalog) {
  if (catalog->head) munmap((void *)catalog->head, catalog->head->size);
  *catalog = (struct catalog){0};
}

// 0: there is none.
uint64_t catalog_identity(const struct catalog *catalog) { return catalog->head ? catalog->head->sum : 0; }

const struct catalog_entry *catalog_entry(const struct catalog *catalog, uint32_t number) { return &catalog->entries[number - 1]; }

const char *catalog_name(const struct catalog *catalog, const struct catalog_entry *entry) { return catalog->names + entry->name; }

// 0: the directory has no such name.
uint32_t catalog_find(const struct catalog *catalog, uint32_t directory, const char *name, size_t length) {
  uint32_t low = catalog->directories[directory - 1].first, high = low + catalog->directories[directory - 1].count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const struct catalog_entry *entry = &catalog->entries[middle];
    int order = memcmp(catalog_name(catalog, entry), name, entry->length < length ? entry->length : length);
    if (order == 0 && entry->length == length) return middle + 1;
    if (order < 0 || (order == 0 && entry->length < length))
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

// But for st_dev.
void catalog_stat(const struct catalog_entry *entry, struct stat *out) {
  *out = (struct stat){.st_ino = entry->ino, .st_size = (off_t)entry->size, .st_blocks = (blkcnt_t)entry->blocks, .st_rdev = entry->rdev, .st_mode = entry->mode,
                       .st_uid = entry->uid, .st_gid = entry->gid, .st_nlink = entry->links, .st_blksize = entry->block_size,
                       .st_atim = {entry->accessed, entry->accessed_nanoseconds}, .st_mtim = {entry->modified, entry->modified_nanoseconds},
                       .st_ctim = {entry->changed, entry->changed_nanoseconds}};
}
