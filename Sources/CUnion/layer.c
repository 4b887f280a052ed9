// Files in the layers. A file is reached from its directory's descriptor by its name alone, so no path is ever too long; a bounded number of descriptors of
// directories is kept, the others are opened again through their parents.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "union.h"

uint16_t layer_of(const struct node *node) { return S_ISDIR(node->type) ? (node->place_count ? node->layer : UPPER) : node->layer; }

uint64_t ino_of(const cunion *tree, uint16_t layer, uint64_t ino) { return ino | tree->layers[layer].mark; }

int place_of(cunion *tree, const struct node *node, uint16_t layer) {
  const struct place *places = places_of(tree, node);
  for (int i = 0; i < node->place_count; i++)
    if (places[i].layer == layer) return i;
  return -1;
}

static void close_directory(cunion *tree, struct open_directory *open) {
  const struct node *node = node_at(tree, open->node);
  int place = node ? place_of(tree, node, open->layer) : -1;
  if (place >= 0) places_of(tree, node)[place].open = -1;
  close(open->fd);
  open->fd = -1;
}

static int remember(cunion *tree, uint32_t number, uint16_t layer, int fd) {
  struct open_directory *oldest = NULL;
  if (tree->open_count < tree->open_most) {
    oldest = &tree->open[tree->open_count++];
  } else {
    for (uint32_t i = 0; i < tree->open_count; i++) {
      struct open_directory *one = &tree->open[i];
      if (one->fd < 0) {
        oldest = one;
        break;
      }
      if (one->pinned != tree->operation && (!oldest || one->used < oldest->used)) oldest = one;
    }
    if (!oldest) {
      close(fd);
      errno = EMFILE;
      return -1;
    }
    if (oldest->fd >= 0) close_directory(tree, oldest);
  }
  const struct node *node = node_at(tree, number);
  *oldest = (struct open_directory){.used = ++tree->clock, .node = number, .layer = layer, .fd = fd};
  places_of(tree, node)[place_of(tree, node, layer)].open = (int16_t)(oldest - tree->open);
  return fd;
}

// How many of the directories on the way to a deep one are remembered.
#define REMEMBERED 32

static int known(cunion *tree, uint32_t number, uint16_t layer) {
  if (number == ROOT) return tree->layers[layer].fd;
  const struct node *node = node_at(tree, number);
  int place = place_of(tree, node, layer);
  if (place < 0 || !node->name) {
    errno = ENOENT;
    return -2;
  }
  int at = places_of(tree, node)[place].open;
  if (at < 0) return -1;
  struct open_directory *open = &tree->open[at];
  open->used = ++tree->clock;
  return open->fd;
}

// The same, good until the next call only.
int layer_reach(cunion *tree, uint32_t number, uint16_t layer) {
  int fd = known(tree, number, layer);
  if (fd != -1) return fd;
  // Up to a directory that is open, and down again. A tree may be deeper than a stack.
  size_t steps = 1;
  uint32_t above = slot_at(tree, node_at(tree, number)->name)->parent;
  while ((fd = known(tree, above, layer)) == -1) {
    above = slot_at(tree, node_at(tree, above)->name)->parent;
    steps++;
  }
  if (fd < 0) return -1;
  uint32_t few[64], *way = steps <= 64 ? few : malloc(steps * sizeof *way);
  if (!way) return -1;
  way[0] = number;
  for (size_t i = 1; i < steps; i++) way[i] = slot_at(tree, node_at(tree, way[i - 1])->name)->parent;
  int passing = -1;
  for (size_t i = steps; i-- > 0 && fd >= 0;) {
    fd = openat(fd, name_of(tree, slot_at(tree, node_at(tree, way[i])->name)), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = errno;
    if (passing >= 0) close(passing);
    passing = i < REMEMBERED ? -1 : fd;
    errno = error;
    if (fd >= 0 && i < REMEMBERED) fd = remember(tree, way[i], layer, fd);
  }
  if (way != few) free(way);
  return fd < 0 ? -1 : fd;
}

// A directory's descriptor, good until the end of this operation or until the lock is let go. -1 and errno.
int layer_directory(cunion *tree, uint32_t number, uint16_t layer) {
  int fd = layer_reach(tree, number, layer);
  if (fd < 0) return -1;
  if (number == ROOT) return fd;
  const struct node *node = node_at(tree, number);
  tree->open[places_of(tree, node)[place_of(tree, node, layer)].open].pinned = tree->operation;
  return fd;
}

// Closes what is open of a directory.
void layer_forget(cunion *tree, const struct node *node) {
  const struct place *places = places_of(tree, node);
  for (int i = 0; i < node->place_count; i++)
    if (places[i].open >= 0) close_directory(tree, &tree->open[places[i].open]);
}

// What the catalog of its layer says about what a name shows. NULL: nothing.
const struct catalog_entry *catalogued(const cunion *tree, const struct slot *slot) {
  return slot->catalogued && slot->layer != UPPER ? catalog_entry(&tree->layers[slot->layer].catalog, slot->catalogued) : NULL;
}

// The same of a file, if its first name is still one of a lower layer.
const struct catalog_entry *node_catalogued(cunion *tree, const struct node *node) {
  const struct slot *slot = node->name && node->fd < 0 ? slot_at(tree, node->name) : NULL;
  return slot && slot->layer == layer_of(node) ? catalogued(tree, slot) : NULL;
}

// From the file itself, whatever a catalog says.
int node_ask(cunion *tree, uint32_t number, struct stat *out) {
  const struct node *node = node_at(tree, number);
  int failed;
  if (node->fd >= 0) {
    failed = fstat(node->fd, out);
  } else if (number == ROOT) {
    failed = fstat(tree->layers[UPPER].fd, out);
  } else if (!node->name) {
    return ESTALE;
  } else {
    const struct slot *slot = slot_at(tree, node->name);
    int parent = layer_reach(tree, slot->parent, layer_of(node));
    if (parent < 0) return errno;
    failed = fstatat(parent, name_of(tree, slot), out, AT_SYMLINK_NOFOLLOW);
  }
  return failed ? errno : 0;
}

int node_stat(cunion *tree, uint32_t number, struct stat *out) {
  const struct catalog_entry *entry = node_catalogued(tree, node_at(tree, number));
  if (!entry) return node_ask(tree, number, out);
  catalog_stat(entry, out);
  return 0;
}

// A descriptor of one's own. -1 and errno.
int node_open(cunion *tree, uint32_t number, int flags) {
  const struct node *node = node_at(tree, number);
  if (node->fd >= 0) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", node->fd);
    return open(path, flags | O_CLOEXEC);
  }
  if (S_ISDIR(node->type)) {
    int fd = layer_reach(tree, number, layer_of(node));
    return fd < 0 ? -1 : openat(fd, ".", flags | O_CLOEXEC);
  }
  if (!node->name) {
    errno = ESTALE;
    return -1;
  }
  const struct slot *slot = slot_at(tree, node->name);
  int parent = layer_reach(tree, slot->parent, node->layer);
  return parent < 0 ? -1 : openat(parent, name_of(tree, slot), flags | O_NOFOLLOW | O_CLOEXEC);
}

// Closes the descriptor of a file without a name.
void node_let_go(cunion *tree, uint32_t number) {
  struct node *node = node_own(tree, number);
  unpark(tree, number);
  if (node->fd < 0) return;
  close(node->fd);
  node->fd = -1;
  tree->held--;
}

// A path for calls that have no *at form: 0 if its last component must not be followed, 1 if it must (it is a link in /proc), -1 and errno.
int node_path(cunion *tree, uint32_t number, char path[static 320]) {
  const struct node *node = node_at(tree, number);
  int fd = node->fd;
  if (fd < 0 && S_ISDIR(node->type) && (fd = layer_reach(tree, number, layer_of(node))) < 0) return -1;
  if (fd >= 0) {
    snprintf(path, 320, "/proc/self/fd/%d", fd);
    return 1;
  }
  if (!node->name) {
    errno = ESTALE;
    return -1;
  }
  const struct slot *slot = slot_at(tree, node->name);
  int parent = layer_reach(tree, slot->parent, node->layer);
  if (parent < 0) return -1;
  snprintf(path, 320, "/proc/self/fd/%d/%s", parent, name_of(tree, slot));
  return 0;
}

int is_opaque(cunion *tree, int directory) {
  char value[4];
  return fgetxattr(directory, tree->opaque, value, sizeof value) == 1 && value[0] == 'y';
}

int set_opaque(cunion *tree, int directory) { return fsetxattr(directory, tree->opaque, "y", 1, 0) < 0 ? errno : 0; }

void temporary_name(cunion *tree, char name[static 24]) { snprintf(name, 24, "#%llx", (unsigned long long)atomic_fetch_add(&tree->state->temporary, 1)); }

// Removes a file or a whole directory. It may be deeper than descriptors allow: then what was emptied so far stays removed, and an errno says so.
int remove_tree(int directory, const char *name) {
  if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return errno;
  if (unlinkat(directory, name, AT_REMOVEDIR) == 0) return 0;
  int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  DIR *list = fdopendir(fd);
  if (!list) {
    close(fd);
    return ENOMEM;
  }
  int error = 0;
  for (struct dirent *entry; !error && (entry = readdir(list));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) error = remove_tree(fd, entry->d_name);
  closedir(list);
  if (!error && unlinkat(directory, name, AT_REMOVEDIR) < 0) error = errno;
  return error;
}
