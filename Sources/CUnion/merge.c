// What a directory shows: the names of all layers that hold it, read once and kept exact from then on.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "union.h"

struct kernel_entry {
  uint64_t ino;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

static int is_whiteout(mode_t mode, dev_t device) { return S_ISCHR(mode) && device == 0; }

// `entry`: where the layer's catalog has it, or 0.
static int merge_name(cunion *tree, uint32_t number, uint16_t layer, const char *name, size_t length, int is_directory, int hides, uint32_t entry) {
  uint32_t place = slot_find(tree, number, name, length);
  if (!place) {
    if (!(place = slot_new(tree, number, name, length))) return ENOMEM;
    struct slot *slot = slot_edit(tree, place);
    if (!hides) slot_show(tree, place, 0, layer, is_directory);
    slot->layer = layer;
    slot->catalogued = entry;
    if (layer == UPPER)
      slot->flags |= hides ? SLOT_WHITEOUT : 0;
    else
      slot->flags |= (hides ? SLOT_DECIDED : SLOT_COVERS) | (is_directory ? 0 : SLOT_DECIDED);
    return 0;
  }
  if (slot_at(tree, place)->flags & SLOT_DECIDED) return 0;
  struct slot *slot = slot_edit(tree, place);
  if (hides || !is_directory || slot->flags & SLOT_HIDDEN || !slot->directory)
    slot->flags |= SLOT_DECIDED;
  else
    slot->flags |= SLOT_DEEPER;
  if (!hides) slot->flags |= SLOT_COVERS;
  return 0;
}

static int merge_layer(cunion *tree, uint32_t number, uint16_t layer) {
  int kept = layer_reach(tree, number, layer);
  if (kept < 0) return errno;
  int fd = openat(kept, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
  if (fd < 0 && errno == EPERM) fd = openat(kept, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  _Alignas(struct kernel_entry) char buffer[32768];
  int error = 0;
  for (long count; !error && (count = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) != 0;) {
    if (count < 0) {
      error = errno;
      break;
    }
    for (long at = 0; at < count && !error;) {
      struct kernel_entry *entry = (struct kernel_entry *)(buffer + at);
      at += entry->size;
      if (entry->name[0] == '.' && (!entry->name[1] || (entry->name[1] == '.' && !entry->name[2]))) continue;
      // A file system below may have such, but nobody above could say them.
      if (strlen(entry->name) > NAME_MAX) continue;
      int hides = 0, is_directory = entry->type == DT_DIR;
      if (entry->type == DT_CHR || entry->type == DT_UNKNOWN) {
        struct stat file;
        if (fstatat(fd, entry->name, &file, AT_SYMLINK_NOFOLLOW) < 0) {
          error = errno;
          break;
        }
        hides = is_whiteout(file.st_mode, file.st_rdev);
        is_directory = S_ISDIR(file.st_mode);
      }
      error = merge_name(tree, number, layer, entry->name, strlen(entry->name), is_directory, hides, 0);
    }
  }
  close(fd);
  return error;
}

static int merge_catalog(cunion *tree, uint32_t number, struct place place) {
  const struct catalog *catalog = &tree->layers[place.layer].catalog;
  struct catalog_directory directory = catalog->directories[place.catalogued - 1];
  int error = 0;
  for (uint32_t i = directory.first + 1; i <= directory.first + directory.count && !error; i++) {
    const struct catalog_entry *entry = catalog_entry(catalog, i);
    error = merge_name(
        tree, number, place.layer, catalog_name(catalog, entry), entry->length, S_ISDIR(entry->mode), is_whiteout(entry->mode, entry->rdev), i);
  }
  return error;
}

int directory_load(cunion *tree, uint32_t number) {
  const struct node *node = node_at(tree, number);
  if (!S_ISDIR(node->type)) return ENOTDIR;
  if (node->flags & (NODE_LOADED | NODE_DEAD)) return 0;
  int error = 0;
  for (int i = 0; i < node->place_count && !error; i++) {
    struct place place = places_of(tree, node)[i];
    error = place.catalogued ? merge_catalog(tree, number, place) : merge_layer(tree, number, place.layer);
  }
  if (error) {
    slots_free(tree, number);
    return error;
  }
  node_edit(tree, number)->flags |= NODE_LOADED;
  return 0;
}

static int is_catalogued_opaque(const cunion *tree, const struct catalog_entry *entry) {
  return entry->marks & (tree->opaque[0] == 'u' ? CATALOG_OPAQUE_USER : CATALOG_OPAQUE_TRUSTED);
}

// Looks for a directory of this name in one of its parent's layers. 1: `found` is it, and `ends` whether what lies below it is hidden; 0: there is no such name;
// ENOTDIR: it is something else; otherwise an errno, negative.
static int find_place(cunion *tree, uint32_t parent, struct place above, const struct slot *slot, struct place *found, int *ends) {
  *found = (struct place){above.layer, -1, 0};
  if (above.catalogued) {
    const struct catalog *catalog = &tree->layers[above.layer].catalog;
    uint32_t number = catalog_find(catalog, above.catalogued, name_of(tree, slot), slot->length);
    if (!number) return 0;
    const struct catalog_entry *entry = catalog_entry(catalog, number);
    if (!S_ISDIR(entry->mode)) return ENOTDIR;
    found->catalogued = entry->directory;
    *ends = is_catalogued_opaque(tree, entry);
    return 1;
  }
  struct stat file;
  int directory = layer_reach(tree, parent, above.layer);
  if (directory < 0) return -errno;
  if (fstatat(directory, name_of(tree, slot), &file, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISDIR(file.st_mode)) return ENOTDIR;
  int fd = openat(directory, name_of(tree, slot), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  *ends = is_opaque(tree, fd);
  close(fd);
  return 1;
}

// The layers that hold a directory: from the nearest down to an opaque one, or to a file or whiteout of its name.
static int find_places(cunion *tree, uint32_t number, uint32_t parent, const struct slot *slot) {
  const struct node *above = node_at(tree, parent);
  const struct catalog_entry *entry = catalogued(tree, slot);
  struct place found[MOST_LAYERS] = {{slot->layer, -1, entry ? entry->directory : 0}};
  struct node *node = node_edit(tree, number);
  // One is known at once: that is where the directory is looked at.
  node->places = pool_new(tree, found, sizeof *found);
  if (!node->places) return ENOMEM;
  node->place_count = 1;
  if (!(slot->flags & SLOT_DEEPER)) return 0;
  int count = 1, ends, fd = entry ? -1 : layer_reach(tree, number, slot->layer);
  if (!entry && fd < 0) return errno;
  ends = entry ? is_catalogued_opaque(tree, entry) : is_opaque(tree, fd);
  for (int i = place_of(tree, above, slot->layer) + 1; i > 0 && i < above->place_count && !ends; i++) {
    int what = find_place(tree, parent, places_of(tree, above)[i], slot, &found[count], &ends);
    if (what < 0) return -what;
    if (what == ENOTDIR) break;
    count += what;
  }
  if (count == 1) return 0;
  uint32_t places = pool_new(tree, found, sizeof *found * (size_t)count);
  if (!places) return ENOMEM;
  layer_forget(tree, node);
  pool_free(tree, node->places);
  node->places = places;
  node->place_count = (uint16_t)count;
  return 0;
}

// Gives a name its node. `known` is the file as stat(2) tells it, if it had to be asked (st_nlink 0: it had not).
int slot_resolve(cunion *tree, uint32_t place, struct stat *known) {
  const struct slot *slot = slot_at(tree, place);
  known->st_nlink = 0;
  if (slot->node) return 0;
  const struct catalog_entry *entry = catalogued(tree, slot);
  int parent = entry ? -1 : layer_reach(tree, slot->parent, slot->layer);
  if (entry)
    catalog_stat(entry, known);
  else if (parent < 0 || fstatat(parent, name_of(tree, slot), known, AT_SYMLINK_NOFOLLOW) < 0)
    return errno;
  int shared = slot->layer == UPPER && !S_ISDIR(known->st_mode) && known->st_nlink > 1;
  uint32_t number = shared ? shared_find(tree, known->st_ino) : 0;
  if (!number) {
    number = node_new(tree, known->st_mode, slot->layer, ino_of(tree, slot->layer, known->st_ino));
    if (!number) return ENOMEM;
    if (shared) share(tree, number, known->st_ino);
  }
  slot_show(tree, place, number, slot->layer, slot->directory);
  if (!S_ISDIR(known->st_mode)) return 0;
  int error = find_places(tree, number, slot->parent, slot);
  if (!error) return 0;
  slot_edit(tree, place)->node = node_edit(tree, number)->name = 0;
  node_release(tree, number);
  return error;
}

// ENOENT if there is no such name.
int lookup(cunion *tree, uint32_t parent, const char *name, size_t length, uint32_t *found, struct stat *known) {
  const struct node *directory = node_at(tree, parent);
  *found = 0;
  if (!S_ISDIR(directory->type)) return ENOTDIR;
  if (length > NAME_MAX) return ENAMETOOLONG;
  int error = directory_load(tree, parent);
  if (error) return error;
  *found = slot_find(tree, parent, name, length);
  if (!*found || slot_at(tree, *found)->flags & SLOT_HIDDEN) return ENOENT;
  return slot_resolve(tree, *found, known);
}
