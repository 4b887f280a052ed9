// Requests about attributes of files, extended ones too. Nothing of them is remembered here: the kernel remembers, and asks when it does not.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "union.h"

void fill_attributes(cunion *tree, uint32_t number, const struct stat *file, struct fuse_attr *out) {
  const struct node *node = node_at(tree, number);
  memset(out, 0, sizeof *out);
  out->ino = node->ino;
  out->size = (uint64_t)file->st_size;
  out->blocks = (uint64_t)file->st_blocks;
  out->atime = (uint64_t)file->st_atim.tv_sec;
  out->mtime = (uint64_t)file->st_mtim.tv_sec;
  out->ctime = (uint64_t)file->st_ctim.tv_sec;
  out->atimensec = (uint32_t)file->st_atim.tv_nsec;
  out->mtimensec = (uint32_t)file->st_mtim.tv_nsec;
  out->ctimensec = (uint32_t)file->st_ctim.tv_nsec;
  out->mode = file->st_mode;
  out->uid = file->st_uid;
  out->gid = file->st_gid;
  // The kernel's own form of a device's number, 12 and 20 bits (include/linux/kdev_t.h, new_encode_dev).
  unsigned low = minor(file->st_rdev);
  out->rdev = (low & 0xff) | major(file->st_rdev) << 8 | (low & ~0xffu) << 12;
  out->blksize = (uint32_t)file->st_blksize;
  out->nlink = (uint32_t)file->st_nlink;
  if (node->flags & NODE_DEAD || (number != ROOT && !node->name && layer_of(node) != UPPER)) {
    out->nlink = 0;
  } else if (node->flags & NODE_PARKED) {
    out->nlink -= out->nlink > 0;
  } else if (node->place_count > 1) {
    // Each layer counts its own directories; only the merged list knows them all.
    out->nlink = directory_load(tree, number) ? 1 : 2 + node->directories;
  }
}

// While somebody may write past this process, nothing is remembered: he who has mapped the file may when he has closed it.
static uint64_t valid(const struct node *node) { return node->writers || node->flags & NODE_MAPPED ? 0 : FOREVER; }

// Counts as a lookup.
int fill_entry(cunion *tree, uint32_t number, const struct stat *known, struct fuse_entry_out *out) {
  struct stat file;
  struct node *node = node_edit(tree, number);
  if (!known || known->st_nlink == 0) {
    int error = node_stat(tree, number, &file);
    if (error) return error;
    known = &file;
  }
  memset(out, 0, sizeof *out);
  out->nodeid = number;
  out->generation = node->generation;
  out->entry_valid = FOREVER;
  out->attr_valid = valid(node);
  fill_attributes(tree, number, known, &out->attr);
  node->lookups++;
  return 0;
}

void do_lookup(struct worker *worker, const void *body, size_t size) {
  uint32_t found;
  struct stat known;
  struct fuse_entry_out entry;
  const char *name = body;
  int error = lookup(worker->tree, (uint32_t)worker->request->nodeid, name, strnlen(name, size), &found, &known);
  if (!error) error = fill_entry(worker->tree, slot_at(worker->tree, found)->node, &known, &entry);
  if (error == ENOENT) {
    // Node 0: there is none, and the kernel will know if that changes.
    memset(&entry, 0, sizeof entry);
    entry.entry_valid = FOREVER;
    error = 0;
  }
  if (error) return fail(worker, error);
  answer(worker, &entry, sizeof entry);
}

static void tell(struct worker *worker, uint32_t number) {
  struct stat file;
  struct fuse_attr_out out = {0};
  int error = node_stat(worker->tree, number, &file);
  if (error) return fail(worker, error);
  fill_attributes(worker->tree, number, &file, &out.attr);
  out.attr_valid = valid(node_at(worker->tree, number));
  answer(worker, &out, sizeof out);
}

void do_getattr(struct worker *worker, const void *body, size_t size) {
  (void)body, (void)size;
  tell(worker, (uint32_t)worker->request->nodeid);
}

// What a write by somebody without CAP_FSETID leaves of a mode: set-user-id goes, set-group-id too where it means that.
static mode_t without_privileges(mode_t mode) {
  mode &= 07777 & ~(mode_t)S_ISUID;
  return mode & S_IXGRP ? mode & ~(mode_t)S_ISGID : mode;
}

int clear_privileges(int fd) {
  struct stat file;
  if (fstat(fd, &file) < 0) return errno;
  mode_t mode = without_privileges(file.st_mode);
  return mode != (file.st_mode & 07777) && fchmod(fd, mode) < 0 ? errno : 0;
}

static int resize(struct worker *worker, uint32_t number, uint64_t size, int clear) {
  int fd = node_open(worker->tree, number, O_RDWR | O_NONBLOCK);
  if (fd < 0) return errno;
  int error = ftruncate(fd, (off_t)size) < 0 ? errno : 0;
  if (!error && clear) error = clear_privileges(fd);
  close(fd);
  return error;
}

static int change(struct worker *worker, uint32_t number, const struct fuse_setattr_in *in) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  int error = 0;
  if (in->valid & FATTR_SIZE && (error = resize(worker, number, in->size, in->valid & FATTR_KILL_SUIDGID))) return error;
  int directory = AT_FDCWD, flags = 0;
  char path[320];
  const char *name = path;
  if (node->fd < 0 && !S_ISDIR(node->type) && node->name) {
    const struct slot *slot = slot_at(tree, node->name);
    if ((directory = layer_directory(tree, slot->parent, UPPER)) < 0) return errno;
    name = name_of(tree, slot);
    flags = AT_SYMLINK_NOFOLLOW;
  } else if (node_path(tree, number, path) < 0) {
    return errno;
  }
  if (!(in->valid & ~(unsigned)(FATTR_FH | FATTR_LOCKOWNER | FATTR_KILL_SUIDGID))) {
    // Nothing to be set: so the kernel tells of a change of owner to what it is, and of a write that passes this process by. Its time of change moves.
    struct stat file;
    if (S_ISDIR(node->type) || S_ISLNK(node->type)) return fchownat(directory, name, (uid_t)-1, (gid_t)-1, flags) < 0 ? errno : 0;
    if ((error = node_stat(tree, number, &file))) return error;
    if (fchmodat(directory, name, without_privileges(file.st_mode), 0) < 0) return errno;
  }
  if (in->valid & (FATTR_UID | FATTR_GID)) {
    uid_t user = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
    gid_t group = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
    if (fchownat(directory, name, user, group, flags) < 0) return errno;
  }
  if (in->valid & FATTR_MODE) {
    if (S_ISLNK(node->type)) return EOPNOTSUPP;
    if (fchmodat(directory, name, in->mode & 07777, 0) < 0) return errno;
  }
  if (in->valid & (FATTR_ATIME | FATTR_MTIME)) {
    struct timespec times[2] = {{(time_t)in->atime, in->atimensec}, {(time_t)in->mtime, in->mtimensec}};
    if (in->valid & FATTR_ATIME_NOW) times[0].tv_nsec = UTIME_NOW;
    if (in->valid & FATTR_MTIME_NOW) times[1].tv_nsec = UTIME_NOW;
    if (!(in->valid & FATTR_ATIME)) times[0].tv_nsec = UTIME_OMIT;
    if (!(in->valid & FATTR_MTIME)) times[1].tv_nsec = UTIME_OMIT;
    if (utimensat(directory, name, times, flags) < 0) return errno;
  }
  return 0;
}

void do_setattr(struct worker *worker, const void *body, size_t size) {
  const struct fuse_setattr_in *in = body;
  uint32_t number = (uint32_t)worker->request->nodeid;
  if (size < sizeof *in) return fail(worker, EINVAL);
  int error = copy_up(worker, number, in->valid & FATTR_SIZE && in->size == 0);
  if (!error && !node_at(worker->tree, number)) error = ESTALE;
  if (!error) error = change(worker, number, in);
  if (error) return fail(worker, error);
  tell(worker, number);
}

void do_readlink(struct worker *worker, const void *body, size_t size) {
  (void)body, (void)size;
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, worker->request->nodeid);
  char text[PATH_MAX];
  ssize_t length = -1;
  if (!S_ISLNK(node->type)) return fail(worker, EINVAL);
  if (node->fd >= 0) {
    length = readlinkat(node->fd, "", text, sizeof text);
  } else if (node->name) {
    const struct slot *slot = slot_at(tree, node->name);
    int parent = layer_directory(tree, slot->parent, node->layer);
    if (parent >= 0) length = readlinkat(parent, name_of(tree, slot), text, sizeof text);
  } else {
    errno = ESTALE;
  }
  if (length < 0) return fail(worker, errno);
  answer(worker, text, (size_t)length);
}

void do_statfs(struct worker *worker, const void *body, size_t size) {
  (void)body, (void)size;
  struct statvfs file;
  struct fuse_statfs_out out = {0};
  if (fstatvfs(worker->tree->layers[UPPER].fd, &file) < 0) return fail(worker, errno);
  out.st.blocks = file.f_blocks;
  out.st.bfree = file.f_bfree;
  out.st.bavail = file.f_bavail;
  out.st.files = file.f_files;
  out.st.ffree = file.f_ffree;
  out.st.bsize = (uint32_t)file.f_bsize;
  out.st.frsize = (uint32_t)file.f_frsize;
  out.st.namelen = NAME_MAX;
  answer(worker, &out, sizeof out);
}

static int is_mark(cunion *tree, const char *name) { return strncmp(name, tree->prefix, strlen(tree->prefix)) == 0; }

void do_getxattr(struct worker *worker, const void *body, size_t size) {
  const struct fuse_getxattr_in *in = body;
  if (size <= sizeof *in) return fail(worker, EINVAL);
  const char *name = (const char *)(in + 1);
  char path[320];
  if (strnlen(name, size - sizeof *in) == size - sizeof *in) return fail(worker, EINVAL);
  if (is_mark(worker->tree, name)) return fail(worker, EOPNOTSUPP);
  int follow = node_path(worker->tree, (uint32_t)worker->request->nodeid, path);
  if (follow < 0) return fail(worker, errno);
  size_t room = in->size < XATTR_SIZE_MAX ? in->size : XATTR_SIZE_MAX;
  ssize_t count = (follow ? getxattr : lgetxattr)(path, name, room ? worker->out : NULL, room);
  if (count < 0) return fail(worker, errno);
  struct fuse_getxattr_out out = {.size = (uint32_t)count};
  if (in->size == 0) return answer(worker, &out, sizeof out);
  answer(worker, worker->out, (size_t)count);
}

void do_listxattr(struct worker *worker, const void *body, size_t size) {
  const struct fuse_getxattr_in *in = body;
  if (size < sizeof *in) return fail(worker, EINVAL);
  char path[320];
  int follow = node_path(worker->tree, (uint32_t)worker->request->nodeid, path);
  if (follow < 0) return fail(worker, errno);
  char *list = (char *)worker->out;
  ssize_t count = (follow ? listxattr : llistxattr)(path, list, XATTR_LIST_MAX);
  if (count < 0) return fail(worker, errno);
  size_t used = 0;
  for (size_t at = 0, length; at < (size_t)count; at += length) {
    length = strlen(list + at) + 1;
    // Trusted attributes are told to those only who may read them.
    if (is_mark(worker->tree, list + at) || (worker->request->uid != 0 && strncmp(list + at, "trusted.", 8) == 0)) continue;
    memmove(list + used, list + at, length);
    used += length;
  }
  struct fuse_getxattr_out out = {.size = (uint32_t)used};
  if (in->size == 0) return answer(worker, &out, sizeof out);
  if (used > in->size) return fail(worker, ERANGE);
  answer(worker, list, used);
}

void do_setxattr(struct worker *worker, const void *body, size_t size) {
  const struct fuse_setxattr_in *in = body;
  uint32_t number = (uint32_t)worker->request->nodeid;
  if (size <= sizeof *in) return fail(worker, EINVAL);
  const char *name = (const char *)(in + 1);
  size_t length = strnlen(name, size - sizeof *in) + 1;
  if (sizeof *in + length + in->size > size) return fail(worker, EINVAL);
  if (is_mark(worker->tree, name)) return fail(worker, EOPNOTSUPP);
  int error = copy_up(worker, number, 0);
  if (error) return fail(worker, error);
  char path[320];
  int follow = node_path(worker->tree, number, path);
  if (follow < 0) return fail(worker, errno);
  int flags = (int)in->flags;
  if (worker->tree->logs && flags & XATTR_CREATE) {
    // What a successor finds there is what was set here.
    if (!worker->again && (follow ? getxattr : lgetxattr)(path, name, NULL, 0) >= 0) return fail(worker, EEXIST);
    if (worker->again) flags &= ~XATTR_CREATE;
  }
  begin(worker);
  if ((follow ? setxattr : lsetxattr)(path, name, name + length, in->size, flags) < 0) return fail(worker, errno);
  if (in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) {
    struct stat file;
    error = node_stat(worker->tree, number, &file);
    if (!error && file.st_mode & S_ISGID && node_path(worker->tree, number, path) >= 0) chmod(path, file.st_mode & 07777 & ~S_ISGID);
  }
  fail(worker, 0);
}

void do_removexattr(struct worker *worker, const void *body, size_t size) {
  const char *name = body;
  uint32_t number = (uint32_t)worker->request->nodeid;
  if (size == 0 || strnlen(name, size) == size) return fail(worker, EINVAL);
  if (is_mark(worker->tree, name)) return fail(worker, EOPNOTSUPP);
  char path[320];
  int follow = node_path(worker->tree, number, path);
  if (follow < 0) return fail(worker, errno);
  // Without the attribute there is nothing to copy the file for.
  if ((follow ? getxattr : lgetxattr)(path, name, NULL, 0) < 0) return fail(worker, worker->again && errno == ENODATA ? 0 : errno);
  int error = copy_up(worker, number, 0);
  if (error) return fail(worker, error);
  if ((follow = node_path(worker->tree, number, path)) < 0) return fail(worker, errno);
  begin(worker);
  fail(worker, (follow ? removexattr : lremovexattr)(path, name) < 0 ? errno : 0);
}

void do_syncfs(struct worker *worker, const void *body, size_t size) {
  (void)body, (void)size;
  int fd = worker->tree->layers[UPPER].fd;
  stop_leading(worker);
  unlock(worker);
  int error = syncfs(fd) < 0 ? errno : 0;
  lock(worker);
  fail(worker, error);
}
