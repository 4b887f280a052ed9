// Copying up: a file of a lower layer gets its like in the upper one. It is built in the work directory and renamed into place, so it is seen whole or not at
// all. As in overlayfs without an index, a lower file with several names loses its link to the others.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "union.h"

// Directories below each other that are moved at once: more have no path.
#define DEEPEST (PATH_MAX / 2)

static int copy_range(int from, int to, off_t start, off_t end) {
  static const size_t most = 1u << 30;
  int by_hand = 0;
  char *buffer = NULL;
  off_t at = start;
  int error = 0;
  while (at < end && !error) {
    size_t want = (size_t)(end - at) < most ? (size_t)(end - at) : most;
    ssize_t count;
    if (!by_hand) {
      off_t in = at, out = at;
      count = copy_file_range(from, &in, to, &out, want, 0);
      if (count < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
        by_hand = 1;
        continue;
      }
    } else {
      if (!buffer && !(buffer = malloc(LARGEST_WRITE))) return ENOMEM;
      if (want > LARGEST_WRITE) want = LARGEST_WRITE;
      if ((count = pread(from, buffer, want, at)) > 0) count = pwrite(to, buffer, (size_t)count, at);
    }
    if (count < 0 && errno != EINTR) error = errno;
    // Some file systems let copy_file_range tell an end that is none.
    if (count == 0 && by_hand) error = EIO;
    if (count == 0) by_hand = 1;
    if (count > 0) at += count;
  }
  free(buffer);
  return error;
}

static int copy_data(int from, int to, off_t size) {
  if (size == 0) return 0;
  if (ioctl(to, FICLONE, from) == 0) return 0;
  if (ftruncate(to, size) < 0) return errno;
  for (off_t at = 0; at < size;) {
    off_t data = lseek(from, at, SEEK_DATA), hole = size;
    if (data < 0 && errno == ENXIO) return 0;
    if (data < 0) {
      data = at;
    } else {
      hole = lseek(from, data, SEEK_HOLE);
      if (hole < 0 || hole > size) hole = size;
    }
    if (data >= size) return 0;
    int error = copy_range(from, to, data, hole);
    if (error) return error;
    at = hole;
  }
  return 0;
}

static int copy_attributes(cunion *tree, const char *from, int follow, const char *to) {
  char list[XATTR_LIST_MAX];
  ssize_t count = (follow ? listxattr : llistxattr)(from, list, sizeof list);
  if (count < 0) return errno == EOPNOTSUPP ? 0 : errno;
  char *value = NULL;
  int error = 0;
  for (ssize_t at = 0; at < count && !error; at += (ssize_t)strlen(list + at) + 1) {
    const char *name = list + at;
    if (strncmp(name, tree->prefix, strlen(tree->prefix)) == 0) continue;
    if (!value && !(value = malloc(XATTR_SIZE_MAX))) return ENOMEM;
    ssize_t size = (follow ? getxattr : lgetxattr)(from, name, value, XATTR_SIZE_MAX);
    if (size < 0) {
      if (errno != ENODATA) error = errno;
      continue;
    }
    if (lsetxattr(to, name, value, (size_t)size, 0) < 0) {
      // Labels that this file system or this user cannot set: the file gets those of its new place.
      if (errno != EOPNOTSUPP && !(errno == EPERM && strncmp(name, "security.", 9) == 0)) error = errno;
    }
  }
  free(value);
  return error;
}

// Owner, attributes, mode, times: in this order, since each step may undo what later ones set.
static int finish(cunion *tree, uint32_t number, const struct stat *from, const char *temporary) {
  char source[320], target[64];
  int follow = node_path(tree, number, source);
  if (follow < 0) return errno;
  snprintf(target, sizeof target, "/proc/self/fd/%d/%s", tree->work, temporary);
  if (fchownat(tree->work, temporary, from->st_uid, from->st_gid, AT_SYMLINK_NOFOLLOW) < 0) return errno;
  int error = copy_attributes(tree, source, follow, target);
  if (error) return error;
  if (!S_ISLNK(from->st_mode) && fchmodat(tree->work, temporary, from->st_mode & 07777, 0) < 0) return errno;
  struct timespec times[2] = {from->st_atim, from->st_mtim};
  return utimensat(tree->work, temporary, times, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

static int make(struct worker *worker, uint32_t number, const struct stat *from, const char *temporary, int without_data) {
  cunion *tree = worker->tree;
  struct node *node = node_own(tree, number);
  become(worker, 0, 0);
  if (S_ISDIR(from->st_mode)) return mkdirat(tree->work, temporary, 0700) < 0 ? errno : 0;
  if (S_ISLNK(from->st_mode)) {
    char text[PATH_MAX];
    int parent = layer_reach(tree, slot_at(tree, node->name)->parent, node->layer);
    if (parent < 0) return errno;
    ssize_t length = readlinkat(parent, name_of(tree, slot_at(tree, node->name)), text, sizeof text - 1);
    if (length < 0) return errno;
    text[length] = 0;
    return symlinkat(text, tree->work, temporary) < 0 ? errno : 0;
  }
  if (!S_ISREG(from->st_mode)) return mknodat(tree->work, temporary, (from->st_mode & S_IFMT) | 0600, from->st_rdev) < 0 ? errno : 0;
  int to = openat(tree->work, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0) return errno;
  int error = 0;
  if (!without_data && from->st_size > 0) {
    int source = node_open(tree, number, O_RDONLY | O_NOATIME);
    if (source < 0 && errno == EPERM) source = node_open(tree, number, O_RDONLY);
    if (source < 0) {
      error = errno;
    } else {
      node->state |= NODE_BUSY;
      stop_leading(worker);
      unlock(worker);
      error = copy_data(source, to, from->st_size);
      // Before it has the name: a machine that crashes must not leave an empty file in the place of the lower one.
      if (!error && fsync(to) < 0) error = errno;
      lock(worker);
      node->state &= ~NODE_BUSY;
      pthread_cond_broadcast(&tree->idle);
    }
    if (source >= 0) close(source);
  }
  close(to);
  return error;
}

void wait_idle(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  if (!node || !(node->state & NODE_BUSY)) return;
  stop_leading(worker);
  while ((node = node_at(tree, number)) && node->state & NODE_BUSY) {
    pause_change(worker);
    pthread_cond_wait(&tree->idle, &tree->lock);
  }
  begin_change(worker);
}

// Of a file whose last name is gone already: a nameless copy.
static int copy_nameless(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  struct stat from;
  char temporary[24];
  int error = node_ask(tree, number, &from);
  if (error) return error;
  if (!S_ISREG(from.st_mode)) return ESTALE;
  temporary_name(tree, temporary);
  if (!(error = make(worker, number, &from, temporary, 0))) error = finish(tree, number, &from, temporary);
  int fd = error ? -1 : openat(tree->work, temporary, O_RDWR | O_CLOEXEC);
  if (!error && fd < 0) error = errno;
  if (error) {
    unlinkat(tree->work, temporary, 0);
    return error;
  }
  struct node *node = node_edit(tree, number);
  if (node->fd >= 0) close(node->fd);
  else tree->held++;
  node->fd = fd;
  node->layer = UPPER;
  pool_free(tree, node->lower_path);
  node->lower_path = 0;
  park_nameless(tree, number);
  unlinkat(tree->work, temporary, 0);
  return 0;
}

// Of a file whose directory is in the upper layer.
static int copy_up_one(struct worker *worker, uint32_t number, int without_data) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  uint32_t parent = slot_at(tree, node->name)->parent;
  struct stat from, above;
  int error = node_ask(tree, number, &from);
  if (error) return error;
  char temporary[24];
  temporary_name(tree, temporary);
  error = make(worker, number, &from, temporary, without_data);
  if (!error) error = finish(tree, number, &from, temporary);
  // Its last name may have been taken away while the lock was let go.
  if (!error && !node->name) error = ESTALE;
  const struct slot *slot = slot_at(tree, node->name);
  int directory = error ? -1 : layer_reach(tree, parent, UPPER);
  if (!error && directory < 0) error = errno;
  if (!error && fstat(directory, &above) < 0) error = errno;
  if (!error && renameat(tree->work, temporary, directory, name_of(tree, slot)) < 0) error = errno;
  if (error) {
    unlinkat(tree->work, temporary, S_ISDIR(from.st_mode) ? AT_REMOVEDIR : 0);
    return error;
  }
  // Nothing that the caller did has changed the directory above.
  struct timespec times[2] = {above.st_atim, above.st_mtim};
  futimens(directory, times);
  struct node *changed = node_edit(tree, number);
  slot_edit(tree, node->name)->layer = UPPER;
  if (S_ISDIR(from.st_mode)) {
    struct place places[MOST_LAYERS + 1] = {{UPPER, -1, 0}};
    memcpy(places + 1, places_of(tree, node), sizeof *places * node->place_count);
    uint32_t piece = pool_new(tree, places, sizeof *places * (node->place_count + 1u));
    if (!piece) {
      unlinkat(directory, name_of(tree, slot), AT_REMOVEDIR);
      slot_edit(tree, node->name)->layer = layer_of(node);
      return ENOMEM;
    }
    pool_free(tree, changed->places);
    changed->places = piece;
    changed->place_count++;
  } else {
    struct stat made;
    // One of several names: the others keep the old file, so this one must not pass for the same.
    if (from.st_nlink > 1 && fstatat(directory, name_of(tree, slot), &made, AT_SYMLINK_NOFOLLOW) == 0) changed->ino = ino_of(tree, UPPER, made.st_ino);
  }
  changed->layer = UPPER;
  // What is asked for comes after this, and may be undone; the copy is not.
  pause_change(worker);
  begin_change(worker);
  return 0;
}

// 0 or an errno. The lock may be let go on the way, so descriptors of directories must be asked for afterwards.
int copy_up(struct worker *worker, uint32_t number, int without_data) {
  cunion *tree = worker->tree;
  for (;;) {
    wait_idle(worker, number);
    const struct node *node = node_at(tree, number);
    if (!node) return ESTALE;
    // A removed directory is held by a descriptor, which may be of the lower one, and that is nobody's to change.
    if (node->flags & NODE_DEAD && node->layer != UPPER) return ENOENT;
    if (layer_of(node) == UPPER) return 0;
    if (node->flags & NODE_DEAD) return ENOENT;
    if (number != ROOT && !node->name) return copy_nameless(worker, number);
    // The highest directory that is missing above comes first.
    uint32_t one = number, above;
    while (layer_of(node_at(tree, above = slot_at(tree, node_at(tree, one)->name)->parent)) != UPPER) one = above;
    int error = copy_up_one(worker, one, without_data && one == number);
    if (error) return error;
  }
}

// The descriptor of a directory in the upper layer, which gets it if it has it not. -1 and errno.
int upper_directory(struct worker *worker, uint32_t number) {
  int error = copy_up(worker, number, 0);
  if (error) {
    errno = error;
    return -1;
  }
  return layer_directory(worker->tree, number, UPPER);
}

// Lets others have a turn.
static void pause_copying(struct worker *worker) {
  stop_leading(worker);
  unlock(worker);
  sched_yield();
  lock(worker);
}

static int copy_up_children(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  int was_let_go;
again:
  was_let_go = 0;
  if (node->flags & NODE_DEAD) return ENOENT;
  int error = directory_load(tree, number);
  if (error) return error;
  for (uint32_t place = node->first; place; place = slot_at(tree, place)->next) {
    const struct slot *slot = slot_at(tree, place);
    uint64_t sequence = slot->sequence;
    struct stat known;
    if (slot->flags & SLOT_HIDDEN || (slot->layer == UPPER && !slot->directory)) continue;
    if ((error = slot_resolve(tree, place, &known))) return error;
    const struct node *child = node_at(tree, slot->node);
    if (S_ISDIR(child->type) ? child->place_count == 1 && layer_of(child) == UPPER : child->layer == UPPER) continue;
    uint64_t before = tree->let_go;
    error = S_ISDIR(child->type) ? copy_up_tree(worker, slot->node) : copy_up(worker, slot->node, 0);
    if (error) return error;
    if (++worker->copied % 32 == 0) pause_copying(worker);
    if (tree->let_go == before) continue;
    // The lock was let go: names may have gone and come. From one that is still there it goes on; what has come is looked for afterwards.
    was_let_go = 1;
    slot = slot_at(tree, place);
    if (node->flags & NODE_DEAD || slot->parent != number || slot->sequence != sequence) goto again;
  }
  if (was_let_go) goto again;
  return 0;
}

static int become_opaque(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  struct stat before;
  if (node->place_count == 1) return 0;
  int fd = layer_reach(tree, number, UPPER);
  if (fd < 0 || fstat(fd, &before) < 0) return errno;
  int error = set_opaque(tree, fd);
  if (!error) error = clear_whiteouts(worker, number);
  if (error) return error;
  struct timespec times[2] = {before.st_atim, before.st_mtim};
  futimens(fd, times);
  layer_forget(tree, node);
  node_edit(tree, number)->place_count = 1;
  return 0;
}

// Everything a directory shows comes into the upper layer, and the directory becomes opaque: from then on it can be moved. Between files others have
// their turn; that nothing has come from below since the last look is sure because the lock is held from there on.
int copy_up_tree(struct worker *worker, uint32_t number) {
  struct node *node = node_own(worker->tree, number);
  if (worker->depth >= DEEPEST) return ENAMETOOLONG;
  worker->depth++;
  node->pins++;
  int error = copy_up(worker, number, 0);
  if (!error) error = copy_up_children(worker, number);
  if (!error) error = become_opaque(worker, number);
  node->pins--;
  worker->depth--;
  node_release(worker->tree, number);
  return error;
}
