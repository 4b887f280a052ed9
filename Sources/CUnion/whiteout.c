// Whiteouts: names of one character device 0:0, all links to the same, since a link is cheaper than a device.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "union.h"

static const char shared[] = "whiteout";

// Makes one under a temporary or a final name.
static int place_whiteout(struct worker *worker, int directory, const char *name) {
  cunion *tree = worker->tree;
  for (int try = 0; try < 3; try++) {
    if (tree->whiteouts && linkat(tree->work, shared, directory, name, 0) == 0) return 0;
    if (tree->whiteouts && errno == EEXIST) return EEXIST;
    // There is none yet, or it has as many links as a file may have.
    become(worker, 0, 0);
    unlinkat(tree->work, shared, 0);
    if (mknodat(tree->work, shared, S_IFCHR, 0) < 0) return errno;
    tree->whiteouts = 1;
  }
  return mknodat(directory, name, S_IFCHR, 0) < 0 ? errno : 0;
}

int is_whiteout_at(int directory, const char *name) {
  struct stat file;
  return fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(file.st_mode) && file.st_rdev == 0;
}

// Puts a whiteout at a name: a free one, or in one step over a file (`over` 1) or a directory (`over` 2), which is then removed with the whiteouts in it.
int whiteout(struct worker *worker, int directory, const char *name, int over) {
  cunion *tree = worker->tree;
  begin(worker);
  if (worker->again && is_whiteout_at(directory, name)) return 0;
  if (!over) return place_whiteout(worker, directory, name);
  char temporary[24];
  temporary_name(tree, temporary);
  int error = place_whiteout(worker, tree->work, temporary);
  if (error) return error;
  if (over == 1 ? renameat(tree->work, temporary, directory, name) < 0 : renameat2(tree->work, temporary, directory, name, RENAME_EXCHANGE) < 0) {
    error = errno;
    unlinkat(tree->work, temporary, 0);
    return error;
  }
  // What stays behind in the work directory is removed when the union is opened next.
  if (over == 2) remove_tree(tree->work, temporary);
  return 0;
}

// Removes the whiteouts of a directory of the upper layer that shows nothing from below any more.
int clear_whiteouts(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  int fd = layer_reach(tree, number, UPPER);
  if (fd < 0) return errno;
  for (uint32_t place = node_at(tree, number)->first; place;) {
    const struct slot *slot = slot_at(tree, place);
    uint32_t next = slot->next;
    if (slot->flags & SLOT_WHITEOUT && unlinkat(fd, name_of(tree, slot), 0) < 0 && errno != ENOENT) return errno;
    if (slot->flags & SLOT_HIDDEN) slot_free(tree, place);
    else slot_edit(tree, place)->flags &= ~(SLOT_COVERS | SLOT_DEEPER);
    place = next;
  }
  return 0;
}
