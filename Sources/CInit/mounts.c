// Mounting, masking, and moving into the new root. Targets are descriptors, so no name is looked up twice.
#include "internal.h"
#include <linux/stat.h>

int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

static int mount_id(int fd, uint64_t *id) {
  struct statx info;
  if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &info)) return -errno;
  *id = info.stx_mnt_id;
  return 0;
}

static int set_attributes(int fd, uint64_t set, uint64_t clear, uint64_t propagation, int recursive) {
  if (!(set | clear | propagation)) return 0;
  struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return cinit_result(syscall(SYS_mount_setattr, fd, "", flags, &attributes, sizeof attributes));
}

int cinit_apply_attributes(int fd, const struct cinit_attributes *attributes) {
  int error = set_attributes(fd, attributes->set, attributes->clear, 0, 0);
  if (!error) error = set_attributes(fd, attributes->recursive_set, attributes->recursive_clear, 0, 1);
  for (int i = 0; !error && i < 4 && attributes->propagation[i]; i++) {
    uint64_t value = attributes->propagation[i];
    error = set_attributes(fd, 0, 0, value & ~(uint64_t)MS_REC, (value & MS_REC) != 0);
  }
  return error;
}

static int attach(int from, int to) {
  return cinit_result(syscall(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int cinit_bind_fd(int from, int to, uint64_t attributes) {
  int tree = (int)syscall(SYS_open_tree, from, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (tree < 0) return -errno;
  int error = set_attributes(tree, attributes, 0, 0, 0);
  if (!error) error = attach(tree, to);
  close(tree);
  return error;
}

// The mount that now covers `path`; an error if the mount just made is not what the path leads to.
static int reopen_mounted(int root, const char *path, uint64_t resolve, int target) {
  uint64_t before, after;
  int fd = cinit_open_in_root(root, path, O_PATH, resolve);
  if (fd < 0) return fd;
  int error = mount_id(target, &before);
  if (!error) error = mount_id(fd, &after);
  if (!error && before == after) error = -EBUSY;
  if (!error) return fd;
  close(fd);
  return error;
}

int cinit_do_mount(struct cinit_state *state, const struct cinit_op *op) {
  char target_path[32];
  int target = cinit_make_target(state->root_fd, op->path, 1, op->resolve);
  if (target < 0) return target;
  cinit_fd_path(target_path, target);
  if (op->a & MS_REMOUNT) {
    int error = mount(op->source, target_path, op->text, op->a, op->data) ? -errno : 0;
    if (!error) error = cinit_apply_attributes(target, &op->attributes);
    close(target);
    return error;
  }
  if (mount(op->source, target_path, op->text, op->a, op->data)) {
    int error = -errno;
    close(target);
    return error;
  }
  int mounted = reopen_mounted(state->root_fd, op->path, op->resolve, target);
  close(target);
  if (mounted < 0) return mounted;
  int error = cinit_apply_attributes(mounted, &op->attributes);
  close(mounted);
  return error;
}

int cinit_do_bind(struct cinit_state *state, const struct cinit_op *op) {
  int tree = state->plan->slots[op->fd];
  struct stat info;
  if (fstat(tree, &info)) return -errno;
  int target = cinit_make_target(state->root_fd, op->path, S_ISDIR(info.st_mode), op->resolve);
  if (target < 0) return target;
  int error = attach(tree, target);
  close(target);
  if (!error) error = cinit_apply_attributes(tree, &op->attributes);
  close(tree);
  state->plan->slots[op->fd] = -1;
  return error;
}

int cinit_do_attributes(struct cinit_state *state, const struct cinit_op *op) {
  int fd = cinit_open_in_root(state->root_fd, op->path, O_PATH, op->resolve);
  if (fd < 0) return fd;
  int error = cinit_apply_attributes(fd, &op->attributes);
  close(fd);
  return error;
}

static int open_null(struct cinit_state *state) {
  if (state->null_fd >= 0) return 0;
  int fd = open("/dev/null", O_PATH | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -errno;
  struct stat info;
  if (fstat(fd, &info) || !S_ISCHR(info.st_mode) || info.st_rdev != ((1u << 8) | 3u)) {
    close(fd);
    return -ENODEV;
  }
  state->null_fd = fd;
  return 0;
}

int cinit_do_mask(struct cinit_state *state, const struct cinit_op *op) {
  int target = cinit_open_in_root(state->root_fd, op->path, O_PATH, op->resolve);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return target;
  struct stat info;
  int error = fstat(target, &info) ? -errno : 0;
  if (error) goto done;
  if (!S_ISDIR(info.st_mode)) {
    error = open_null(state);
    // It is the host's node: read-only, so that nobody inside can change its mode or owner. Writing to a device needs no more.
    if (!error) error = cinit_bind_fd(state->null_fd, target, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    goto done;
  }
  // One empty read-only tmpfs hides all directories of the container.
  if (state->mask_fd >= 0) {
    error = cinit_bind_fd(state->mask_fd, target, 0);
    goto done;
  }
  char path[32];
  cinit_fd_path(path, target);
  if (mount("tmpfs", path, "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1")) {
    error = -errno;
    goto done;
  }
  int mounted = reopen_mounted(state->root_fd, op->path, op->resolve, target);
  if (mounted < 0) error = mounted;
  else state->mask_fd = mounted;
done:
  close(target);
  return error;
}

int cinit_do_readonly(struct cinit_state *state, const struct cinit_op *op) {
  int target = cinit_open_in_root(state->root_fd, op->path, O_PATH, op->resolve);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return target;
  int error = 0;
  int tree = (int)syscall(SYS_open_tree, target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) error = -errno;
  if (!error) error = set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, 0);
  if (!error) error = attach(tree, target);
  if (tree >= 0) close(tree);
  close(target);
  return error;
}

int cinit_do_attach_root(struct cinit_state *state, const struct cinit_op *op) {
  int tree = state->plan->slots[op->fd];
  int target = open(op->path, O_PATH | O_CLOEXEC | O_DIRECTORY);
  if (target < 0) return -errno;
  int error = attach(tree, target);
  close(target);
  if (error) return error;
  state->root_fd = tree;
  return 0;
}

int cinit_do_enter_root(struct cinit_state *state, const struct cinit_op *op) {
  if (fchdir(state->root_fd)) return -errno;
  if (op->a == 0) { // pivot_root
    int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0) return -errno;
    // Old root and new root share the place for a moment; what lies below is the old one.
    if (syscall(SYS_pivot_root, ".", ".") || fchdir(old)) return -errno;
    close(old);
    if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL)) return -errno;
    if (umount2(".", CINIT_MNT_DETACH)) return -errno;
  } else {
    if (op->a == 1 && mount(".", "/", NULL, MS_MOVE, NULL)) return -errno;
    if (chroot(".")) return -errno;
  }
  if (chdir("/")) return -errno;
  if (op->b && mount(NULL, "/", NULL, op->b, NULL)) return -errno;
  return 0;
}
