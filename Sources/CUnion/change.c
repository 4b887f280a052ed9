// Requests that make, remove or link names. The kernel holds the directories' locks, so no other request changes the same names meanwhile, even while the
// tree's lock is let go.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "union.h"
#include "change.h"

// A name that may be taken: 0 and its slot, if it has one.
static int find_free(cunion *tree, uint32_t parent, const char *name, size_t length, uint32_t *place) {
  if (length > NAME_MAX) return ENAMETOOLONG;
  if (node_at(tree, parent)->flags & NODE_DEAD) return ENOENT;
  int error = directory_load(tree, parent);
  if (error) return error;
  *place = slot_find(tree, parent, name, length);
  return *place && !(slot_at(tree, *place)->flags & SLOT_HIDDEN) ? EEXIST : 0;
}

static int make_one(struct birth *birth, int directory, const char *name) {
  mode_t mode = birth->mode & 07777;
  switch (birth->mode & S_IFMT) {
    case S_IFDIR: return mkdirat(directory, name, mode);
    case S_IFLNK: return symlinkat(birth->target, directory, name);
    case S_IFREG:
      if (birth->open) return birth->fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
      return mknodat(directory, name, S_IFREG | mode, 0);
    default: return mknodat(directory, name, birth->mode, birth->device);
  }
}

// The name was free: what a predecessor has put there is what was asked of him.
static int make(struct worker *worker, struct birth *birth, int directory, const char *name) {
  begin(worker);
  int made = make_one(birth, directory, name);
  if (made >= 0 || errno != EEXIST || !worker->again) return made;
  if (!birth->open) return 0;
  return birth->fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

// A directory that was made in its place, and hides what is below. Making it so twice is the same as once.
static int make_opaque(cunion *tree, int directory, const char *name) {
  int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int error = fd < 0 ? errno : set_opaque(tree, fd);
  if (fd >= 0) close(fd);
  return error;
}

// In the place of a whiteout, in one step. In the work directory nothing is inherited from the directory the file will be in: that is made up for.
static int make_over_whiteout(struct worker *worker, struct birth *birth, int directory, const char *name) {
  cunion *tree = worker->tree;
  struct stat above, made;
  char temporary[24];
  if (fstat(directory, &above) < 0) return errno;
  if (worker->again && !is_whiteout_at(directory, name)) {
    if (make(worker, birth, directory, name) < 0) return errno;
    become(worker, 0, 0);
    return S_ISDIR(birth->mode) ? make_opaque(tree, directory, name) : 0;
  }
  if (fgetxattr(directory, "system.posix_acl_default", NULL, 0) > 0) {
    // A default access list can be inherited by nothing but making the file in its place: here, a crash can bring the lower file back.
    // The whiteout is put aside, to be there if the file cannot be made: on a full disk there might be no other.
    temporary_name(tree, temporary);
    become(worker, 0, 0);
    begin(worker);
    if (renameat(directory, name, tree->work, temporary) < 0) return errno;
    become_caller(worker, birth->mask);
    int error = make(worker, birth, directory, name) < 0 ? errno : 0;
    become(worker, 0, 0);
    if (!error && S_ISDIR(birth->mode) && (error = make_opaque(tree, directory, name))) unlinkat(directory, name, AT_REMOVEDIR);
    if (error)
      renameat(tree->work, temporary, directory, name);
    else
      unlinkat(tree->work, temporary, 0);
    return error;
  }
  temporary_name(tree, temporary);
  if (make(worker, birth, tree->work, temporary) < 0) return errno;
  int error = 0, is_directory = S_ISDIR(birth->mode);
  if (fstatat(tree->work, temporary, &made, AT_SYMLINK_NOFOLLOW) < 0) error = errno;
  if (!error && above.st_mode & S_ISGID) {
    if (fchownat(tree->work, temporary, (uid_t)-1, above.st_gid, AT_SYMLINK_NOFOLLOW) < 0) error = errno;
    mode_t mode = (made.st_mode & 07777) | (is_directory ? S_ISGID : 0);
    if (!error && !S_ISLNK(birth->mode) && fchmodat(tree->work, temporary, mode, 0) < 0) error = errno;
  }
  if (!error && is_directory) {
    error = make_opaque(tree, tree->work, temporary);
    if (!error && renameat2(tree->work, temporary, directory, name, RENAME_EXCHANGE) < 0) error = errno;
    if (!error) unlinkat(tree->work, temporary, 0);
  } else if (!error && renameat(tree->work, temporary, directory, name) < 0) {
    error = errno;
  }
  if (!error) return 0;
  if (birth->fd >= 0) close(birth->fd);
  birth->fd = -1;
  unlinkat(tree->work, temporary, is_directory ? AT_REMOVEDIR : 0);
  return error;
}

// Makes a file. Its entry counts as looked up.
int bear(struct worker *worker, const char *name, size_t length, struct birth *birth, mode_t mask, struct fuse_entry_out *entry) {
  cunion *tree = worker->tree;
  uint32_t parent = (uint32_t)worker->request->nodeid, place = 0;
  struct stat made;
  int error = find_free(tree, parent, name, length, &place);
  if (error) return error;
  int directory = upper_directory(worker, parent);
  if (directory < 0) return errno;
  int fresh = !place;
  if (fresh && !(place = slot_new(tree, parent, name, length))) return ENOMEM;
  const char *text = name_of(tree, slot_at(tree, place));
  birth->mask = mask;
  become_caller(worker, mask);
  if (slot_at(tree, place)->flags & SLOT_WHITEOUT)
    error = make_over_whiteout(worker, birth, directory, text);
  else if (make(worker, birth, directory, text) < 0)
    error = errno;
  if (!error && (birth->fd >= 0 ? fstat(birth->fd, &made) : fstatat(directory, text, &made, AT_SYMLINK_NOFOLLOW)) < 0) error = errno;
  uint32_t number = error ? 0 : node_new(tree, birth->mode, UPPER, ino_of(tree, UPPER, made.st_ino));
  struct place one = {UPPER, -1, 0};
  uint32_t only = !error && S_ISDIR(birth->mode) ? pool_new(tree, &one, sizeof one) : 0;
  if (!error && (!number || (S_ISDIR(birth->mode) && !only))) error = ENOMEM;
  if (error) {
    if (fresh) slot_free(tree, place);
    pool_free(tree, only);
    return error;
  }
  slot_show(tree, place, number, UPPER, S_ISDIR(birth->mode));
  if (only) {
    struct node *node = node_edit(tree, number);
    node->places = only;
    node->place_count = 1;
    node->flags |= NODE_LOADED;
  }
  return fill_entry(tree, number, &made, entry);
}

static void bear_and_tell(struct worker *worker, const char *name, size_t length, struct birth *birth, mode_t mask) {
  struct fuse_entry_out entry;
  int error = bear(worker, name, length, birth, mask, &entry);
  if (error) return fail(worker, error);
  answer(worker, &entry, sizeof entry);
}

void do_mkdir(struct worker *worker, const void *body, size_t size) {
  const struct fuse_mkdir_in *in = body;
  if (size <= sizeof *in) return fail(worker, EINVAL);
  const char *name = (const char *)(in + 1);
  struct birth birth = {.mode = S_IFDIR | (in->mode & 07777), .fd = -1};
  bear_and_tell(worker, name, strnlen(name, size - sizeof *in), &birth, in->umask);
}

void do_mknod(struct worker *worker, const void *body, size_t size) {
  const struct fuse_mknod_in *in = body;
  if (size <= sizeof *in) return fail(worker, EINVAL);
  const char *name = (const char *)(in + 1);
  struct birth birth = {.mode = in->mode, .fd = -1};
  birth.device = makedev(in->rdev >> 8 & 0xfff, (in->rdev & 0xff) | (in->rdev >> 12 & 0xfff00));
  // It would be a whiteout.
  if (S_ISCHR(in->mode) && birth.device == 0) return fail(worker, EPERM);
  bear_and_tell(worker, name, strnlen(name, size - sizeof *in), &birth, in->umask);
}

void do_symlink(struct worker *worker, const void *body, size_t size) {
  const char *name = body;
  size_t length = strnlen(name, size);
  if (length + 1 >= size) return fail(worker, EINVAL);
  struct birth birth = {.mode = S_IFLNK | 0777, .target = name + length + 1, .fd = -1};
  bear_and_tell(worker, name, length, &birth, worker->mask);
}

static void end_directory(cunion *tree, uint32_t number) {
  struct node *node = node_edit(tree, number);
  slots_free(tree, number);
  layer_forget(tree, node);
  node->layer = layer_of(node);
  node->place_count = 0;
  node->flags |= NODE_DEAD;
}

// Whether a predecessor has taken the name away already.
static int is_taken_away(struct worker *worker, int directory, const char *name) {
  if (!worker->again) return 0;
  return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? errno == ENOENT : is_whiteout_at(directory, name);
}

// The name is gone on disk: in its place is a whiteout, if it needs one.
static void gone(cunion *tree, uint32_t place) {
  struct slot *slot = slot_edit(tree, place);
  uint32_t number = slot_hide(tree, place);
  if (slot->flags & SLOT_COVERS) {
    slot->flags |= SLOT_WHITEOUT;
    slot->layer = UPPER;
  } else {
    slot_free(tree, place);
  }
  if (!number) return;
  if (S_ISDIR(node_at(tree, number)->type)) end_directory(tree, number);
  node_release(tree, number);
}

void do_unlink(struct worker *worker, const void *body, size_t size) {
  cunion *tree = worker->tree;
  const char *name = body;
  uint32_t place, parent = (uint32_t)worker->request->nodeid;
  struct stat known;
  int error = lookup(tree, parent, name, strnlen(name, size), &place, &known);
  if (error) return fail(worker, error);
  const struct slot *slot = slot_at(tree, place);
  uint32_t number = slot->node;
  if (S_ISDIR(node_at(tree, number)->type)) return fail(worker, EISDIR);
  wait_idle(worker, number);
  int directory = upper_directory(worker, parent);
  if (directory < 0) return fail(worker, errno);
  begin(worker);
  const char *text = name_of(tree, slot);
  error = hold(tree, number, place, is_taken_away(worker, directory, text));
  if (error) return fail(worker, error);
  if (!(slot->flags & SLOT_COVERS))
    error = unlinkat(directory, text, 0) < 0 && !(worker->again && errno == ENOENT) ? errno : 0;
  else
    error = whiteout(worker, directory, text, slot->layer == UPPER);
  if (!error) gone(tree, place);
  else unhold(tree, number);
  fail(worker, error);
}

void do_rmdir(struct worker *worker, const void *body, size_t size) {
  cunion *tree = worker->tree;
  const char *name = body;
  uint32_t place, parent = (uint32_t)worker->request->nodeid;
  struct stat known;
  int error = lookup(tree, parent, name, strnlen(name, size), &place, &known);
  if (error) return fail(worker, error);
  const struct slot *slot = slot_at(tree, place);
  uint32_t number = slot->node;
  const struct node *node = node_at(tree, number);
  if (!S_ISDIR(node->type)) return fail(worker, ENOTDIR);
  if ((error = directory_load(tree, number))) return fail(worker, error);
  if (node->entries) return fail(worker, ENOTEMPTY);
  int directory = upper_directory(worker, parent);
  if (directory < 0) return fail(worker, errno);
  begin(worker);
  const char *text = name_of(tree, slot);
  int is_gone = is_taken_away(worker, directory, text);
  error = hold(tree, number, place, is_gone);
  if (error) return fail(worker, error);
  if (slot->flags & SLOT_COVERS) {
    error = whiteout(worker, directory, text, layer_of(node) == UPPER ? 2 : 0);
  } else if (!is_gone) {
    error = clear_whiteouts(worker, number);
    if (!error && unlinkat(directory, text, AT_REMOVEDIR) < 0) error = errno;
  }
  if (!error) gone(tree, place);
  else unhold(tree, number);
  fail(worker, error);
}

static uint64_t inode_at(int directory, const char *name) {
  struct stat file;
  return fstatat(directory, name, &file, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : file.st_ino;
}

// `moved`: a predecessor has done the first step.
static int rename_on_disk(struct worker *worker, int from, const struct slot *old_slot, int to, const struct slot *new_slot, int exchange, int moved) {
  cunion *tree = worker->tree;
  const char *old = name_of(tree, old_slot), *new = name_of(tree, new_slot);
  become(worker, 0, 0);
  if (!moved && tree->logs) tree->state->moved = inode_at(from, old);
  begin(worker);
  if (exchange) return !moved && renameat2(from, old, to, new, RENAME_EXCHANGE) < 0 ? errno : 0;
  if (new_slot->flags & SLOT_WHITEOUT && (old_slot->flags & SLOT_COVERS || old_slot->directory)) {
    // The whiteout comes to where the file was; it is needed there or not.
    if (!moved && renameat2(from, old, to, new, RENAME_EXCHANGE) < 0) return errno;
    if (!(old_slot->flags & SLOT_COVERS)) unlinkat(from, old, 0);
    return 0;
  }
  if (!(old_slot->flags & SLOT_COVERS)) return !moved && renameat(from, old, to, new) < 0 ? errno : 0;
  if (moved) return whiteout(worker, from, old, 0);
  if (renameat2(from, old, to, new, RENAME_WHITEOUT) == 0) return 0;
  if (errno != EINVAL) return errno;
  // A file system without RENAME_WHITEOUT: a crash between the two steps shows the lower file again.
  if (renameat(from, old, to, new) < 0) return errno;
  return whiteout(worker, from, old, 0);
}

// A directory that will stand where lower layers have something must hide that.
static int hide_below(cunion *tree, uint32_t number, const struct slot *below) {
  if (!(below->flags & SLOT_COVERS) || !S_ISDIR(node_at(tree, number)->type)) return 0;
  int fd = layer_directory(tree, number, UPPER);
  return fd < 0 ? errno : set_opaque(tree, fd);
}

static int raise_for_move(struct worker *worker, uint32_t number) {
  return S_ISDIR(node_at(worker->tree, number)->type) ? copy_up_tree(worker, number) : copy_up(worker, number, 0);
}

// The directory that is replaced: what is left of it on disk becomes really empty.
static int empty_for_replacement(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  int error = directory_load(tree, number);
  if (error) return error;
  if (node->entries) return ENOTEMPTY;
  if (layer_of(node) != UPPER) return 0;
  if (node->place_count > 1) {
    int fd = layer_directory(tree, number, UPPER);
    if (fd < 0) return errno;
    if ((error = set_opaque(tree, fd))) return error;
  }
  return clear_whiteouts(worker, number);
}

// Whether a predecessor has come so far that what is moved is in its new place.
static int has_moved(struct worker *worker, uint32_t parent, const char *name) {
  cunion *tree = worker->tree;
  if (!worker->again || !tree->state->moved || layer_of(node_at(tree, parent)) != UPPER) return 0;
  int directory = layer_directory(tree, parent, UPPER);
  return directory >= 0 && inode_at(directory, name) == tree->state->moved;
}

// What is moved, and what is in the new place, if anything.
struct ends {
  uint32_t old_place, new_place, moved, other;
};

static int find_ends(struct worker *worker, const char *old_name, uint32_t new_parent, const char *new_name, size_t new_length, struct ends *ends) {
  cunion *tree = worker->tree;
  struct stat known;
  int error = lookup(tree, (uint32_t)worker->request->nodeid, old_name, strlen(old_name), &ends->old_place, &known);
  if (error) return error;
  error = lookup(tree, new_parent, new_name, new_length, &ends->new_place, &known);
  if (error && error != ENOENT) return error;
  if (node_at(tree, new_parent)->flags & NODE_DEAD) return ENOENT;
  ends->moved = slot_at(tree, ends->old_place)->node;
  ends->other = error ? 0 : slot_at(tree, ends->new_place)->node;
  return 0;
}

static int move(struct worker *worker, const char *old_name, uint32_t new_parent, const char *new_name, size_t new_length, unsigned flags) {
  cunion *tree = worker->tree;
  uint32_t old_parent = (uint32_t)worker->request->nodeid;
  int exchange = flags & RENAME_EXCHANGE;
  if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)) return EINVAL;
  struct ends first, ends;
  int error = find_ends(worker, old_name, new_parent, new_name, new_length, &first);
  if (error) return error;
  uint32_t moved = first.moved, other = first.other;
  int replaces = other != 0;
  if (first.old_place == first.new_place) return 0;
  if (exchange && !replaces) return ENOENT;
  if (flags & RENAME_NOREPLACE && replaces) return EEXIST;
  int is_moved = has_moved(worker, new_parent, new_name);
  if (replaces && !exchange && !is_moved) {
    int from = S_ISDIR(node_at(tree, moved)->type), to = S_ISDIR(node_at(tree, other)->type);
    if (from != to) return from ? ENOTDIR : EISDIR;
    if (to && (error = empty_for_replacement(worker, other))) return error;
    wait_idle(worker, other);
  }
  if (!is_moved && (error = raise_for_move(worker, moved))) return error;
  if (exchange && !is_moved && (error = raise_for_move(worker, other))) return error;
  if ((error = copy_up(worker, new_parent, 0))) return error;
  int from = upper_directory(worker, old_parent), to = from < 0 ? -1 : layer_directory(tree, new_parent, UPPER);
  if (to < 0) return errno;
  // The lock may have been let go: a hidden name's slot may be another's by now.
  if ((error = find_ends(worker, old_name, new_parent, new_name, new_length, &ends))) return error;
  if (ends.moved != moved || ends.other != other) return ESTALE;
  // Somebody may have begun to copy what is replaced.
  while (other && !exchange && node_at(tree, other)->state & NODE_BUSY) {
    wait_idle(worker, other);
    from = upper_directory(worker, old_parent), to = from < 0 ? -1 : layer_directory(tree, new_parent, UPPER);
    if (to < 0) return errno;
    if ((error = find_ends(worker, old_name, new_parent, new_name, new_length, &ends))) return error;
    if (ends.moved != moved || ends.other != other) return ESTALE;
  }
  uint32_t old_place = ends.old_place, new_place = ends.new_place;
  int fresh = !new_place;
  if (fresh && !(new_place = slot_new(tree, new_parent, new_name, new_length))) return ENOMEM;
  const struct slot *old = slot_at(tree, old_place), *new = slot_at(tree, new_place);
  if (!is_moved) {
    error = hide_below(tree, moved, new);
    if (!error && exchange) error = hide_below(tree, other, old);
  }
  if (!error && replaces && !exchange) error = hold(tree, other, new_place, is_moved);
  if (!error) error = rename_on_disk(worker, from, old, to, new, exchange, is_moved);
  if (error) {
    if (other) unhold(tree, other);
    if (fresh) slot_free(tree, new_place);
    return error;
  }
  int moved_directory = old->directory, other_directory = new->directory;
  slot_hide(tree, old_place);
  if (replaces) slot_hide(tree, new_place);
  slot_show(tree, new_place, moved, UPPER, moved_directory);
  if (exchange) {
    slot_show(tree, old_place, other, UPPER, other_directory);
  } else {
    gone(tree, old_place);
    if (other && !node_at(tree, other)->name && S_ISDIR(node_at(tree, other)->type)) end_directory(tree, other);
    if (other) node_release(tree, other);
  }
  return 0;
}

static void rename_and_tell(struct worker *worker, uint64_t new_parent, unsigned flags, const char *names, size_t size) {
  size_t first = strnlen(names, size), second = first < size ? strnlen(names + first + 1, size - first - 1) : 0;
  if (first + second + 2 > size) return fail(worker, EINVAL);
  if (!node_at(worker->tree, new_parent)) return fail(worker, ESTALE);
  fail(worker, move(worker, names, (uint32_t)new_parent, names + first + 1, second, flags));
}

void do_rename(struct worker *worker, const void *body, size_t size) {
  const struct fuse_rename_in *in = body;
  if (size < sizeof *in) return fail(worker, EINVAL);
  rename_and_tell(worker, in->newdir, 0, (const char *)(in + 1), size - sizeof *in);
}

void do_rename2(struct worker *worker, const void *body, size_t size) {
  const struct fuse_rename2_in *in = body;
  if (size < sizeof *in) return fail(worker, EINVAL);
  rename_and_tell(worker, in->newdir, in->flags, (const char *)(in + 1), size - sizeof *in);
}

static int link_on_disk(cunion *tree, uint32_t number, int directory, const char *name) {
  const struct node *node = node_at(tree, number);
  if (node->fd >= 0) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", node->fd);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
  }
  if (!node->name) return ENOENT;
  const struct slot *slot = slot_at(tree, node->name);
  int parent = layer_directory(tree, slot->parent, UPPER);
  return parent < 0 || linkat(parent, name_of(tree, slot), directory, name, 0) < 0 ? errno : 0;
}

void do_link(struct worker *worker, const void *body, size_t size) {
  const struct fuse_link_in *in = body;
  cunion *tree = worker->tree;
  uint32_t parent = (uint32_t)worker->request->nodeid, place = 0;
  if (size <= sizeof *in) return fail(worker, EINVAL);
  const char *name = (const char *)(in + 1);
  size_t length = strnlen(name, size - sizeof *in);
  if (!node_at(tree, in->oldnodeid)) return fail(worker, ESTALE);
  uint32_t number = (uint32_t)in->oldnodeid;
  int error = find_free(tree, parent, name, length, &place);
  if (!error) error = copy_up(worker, number, 0);
  // The lock may have been let go: a hidden name's slot may be another's by now.
  if (!error) error = find_free(tree, parent, name, length, &place);
  if (error) return fail(worker, error);
  int directory = upper_directory(worker, parent);
  if (directory < 0) return fail(worker, errno);
  if (!node_at(tree, number)) return fail(worker, ESTALE);
  int fresh = !place;
  if (fresh && !(place = slot_new(tree, parent, name, length))) return fail(worker, ENOMEM);
  const struct slot *slot = slot_at(tree, place);
  const char *text = name_of(tree, slot);
  begin(worker);
  if (worker->again && inode_at(directory, text) && !is_whiteout_at(directory, text)) {
    // A predecessor has made it.
  } else if (slot->flags & SLOT_WHITEOUT) {
    char temporary[24];
    temporary_name(tree, temporary);
    error = link_on_disk(tree, number, tree->work, temporary);
    if (!error && renameat(tree->work, temporary, directory, text) < 0) {
      error = errno;
      unlinkat(tree->work, temporary, 0);
    }
  } else {
    error = link_on_disk(tree, number, directory, text);
  }
  struct stat made;
  struct fuse_entry_out entry;
  if (!error && fstatat(directory, text, &made, AT_SYMLINK_NOFOLLOW) < 0) error = errno;
  if (error) {
    if (fresh) slot_free(tree, place);
    return fail(worker, error);
  }
  slot_show(tree, place, number, UPPER, 0);
  share(tree, number, made.st_ino);
  node_let_go(tree, number);
  // Its place in the work directory was one of its names.
  made.st_nlink = 0;
  if ((error = fill_entry(tree, number, &made, &entry))) return fail(worker, error);
  answer(worker, &entry, sizeof entry);
}
