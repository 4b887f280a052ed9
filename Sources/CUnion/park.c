// Files without a name that somebody still has open. This process holds them by a descriptor, which ends with it; for a successor they have a place: a file of
// the upper layer gets a second name in the work directory, of a lower one it is written down where it lies.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "union.h"

void park_name(uint32_t number, char name[static 24]) { snprintf(name, 24, "open-%x", number); }

// A directory that is in a lower layer too has never been moved: its path is the same there. Too deep a file has none.
static void note_lower_path(cunion *tree, uint32_t number, uint32_t place) {
  char path[PATH_MAX];
  size_t at = sizeof path - 1;
  path[at] = 0;
  while (place) {
    const struct slot *slot = slot_at(tree, place);
    if (at < slot->length + 2u) return;
    if (path[at]) path[--at] = '/';
    memcpy(path + (at -= slot->length), name_of(tree, slot), slot->length);
    place = node_at(tree, slot->parent)->name;
  }
  node_edit(tree, number)->lower_path = pool_new(tree, path + at, sizeof path - at);
}

static int is_open(cunion *tree, const struct node *node) {
  // Without passthrough nobody says what is open.
  return S_ISREG(node->type) && (node->passed || node->cached || !tree->passthrough);
}

// A file about to lose its last name is held by a descriptor as long as the kernel knows it. When there are too many, those that are not open go without: all
// that is lost is what a handle without access (O_PATH) could still ask of them.
//
// `is_gone`: a predecessor has taken the name away; what is under it now is something else.
//
// 0, or an errno: then somebody has it open, and would lose it.
int hold(cunion *tree, uint32_t number, uint32_t place, int is_gone) {
  struct node *node = node_own(tree, number);
  const struct slot *slot = slot_at(tree, place);
  if (node->fd >= 0 || node->name != place || slot->next_name || !node->lookups) return 0;
  if (tree->held >= tree->held_most && tree->passthrough && !node->passed && !node->cached) return 0;
  int is_upper = layer_of(node) == UPPER, parent = is_gone && is_upper ? -1 : layer_directory(tree, slot->parent, layer_of(node));
  const char *name = name_of(tree, slot);
  if (parent >= 0) node->fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (node->fd < 0 && !is_gone && errno != ENOENT && is_open(tree, node)) return errno;
  if (tree->logs && is_open(tree, node)) {
    char parked[24];
    park_name(number, parked);
    if (!is_upper)
      note_lower_path(tree, number, place);
    else if (is_gone ? faccessat(tree->work, parked, F_OK, AT_SYMLINK_NOFOLLOW) == 0
                     : parent >= 0 && (linkat(parent, name, tree->work, parked, 0) == 0 || errno == EEXIST))
      node_edit(tree, number)->flags |= NODE_PARKED;
    if (is_gone && node->flags & NODE_PARKED) node->fd = openat(tree->work, parked, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  }
  tree->held += node->fd >= 0;
  return 0;
}

// It keeps its name after all: from now on it is found by that again. A descriptor left behind would go on leading to the lower file once that is copied up.
void unhold(cunion *tree, uint32_t number) {
  node_let_go(tree, number);
  uint32_t path = node_at(tree, number)->lower_path;
  if (!path) return;
  node_edit(tree, number)->lower_path = 0;
  pool_free(tree, path);
}

// The same for one that never had a name: `fd` is known. Where it cannot be, it ends with this process.
void park_nameless(cunion *tree, uint32_t number) {
  if (!tree->logs) return;
  char source[40], parked[24];
  snprintf(source, sizeof source, "/proc/self/fd/%d", node_at(tree, number)->fd);
  park_name(number, parked);
  unlinkat(tree->work, parked, 0);
  if (linkat(AT_FDCWD, source, tree->work, parked, AT_SYMLINK_FOLLOW) == 0) node_edit(tree, number)->flags |= NODE_PARKED;
}

// It has a name again, or nobody knows it any more. Safe to be called for any file.
int unpark(cunion *tree, uint32_t number) {
  if (!(node_at(tree, number)->flags & NODE_PARKED)) return 0;
  char parked[24];
  park_name(number, parked);
  node_edit(tree, number)->flags &= (uint16_t)~NODE_PARKED;
  return unlinkat(tree->work, parked, 0) < 0 && errno != ENOENT ? errno : 0;
}
