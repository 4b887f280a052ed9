// Device nodes and links below /dev, and the terminal.
#include "internal.h"
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

int cinit_do_symlink(struct cinit_state *state, const struct cinit_op *op) {
  char buffer[4096];
  const char *name;
  int parent = cinit_open_parent(state->root_fd, op->path, op->resolve, &name, buffer, sizeof buffer);
  if (parent < 0) return parent;
  int error = symlinkat(op->text, parent, name) && errno != EEXIST ? -errno : 0;
  close(parent);
  return error;
}

static int matches(const struct stat *info, const struct cinit_op *op) {
  if ((info->st_mode & S_IFMT) != (op->a & S_IFMT)) return 0;
  return S_ISFIFO(info->st_mode) || info->st_rdev == op->b;
}

int cinit_do_device(struct cinit_state *state, const struct cinit_op *op) {
  char buffer[4096];
  const char *name;
  int parent = cinit_open_parent(state->root_fd, op->path, op->resolve, &name, buffer, sizeof buffer);
  if (parent < 0) return parent;
  int error = 0;
  struct stat info;
  if (op->fd2 >= 0) {
    // In a user namespace nodes cannot be made: the host's is bound.
    int made = openat(parent, name, O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
    if (made >= 0) close(made);
    int target = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0) error = -errno;
    int tree = state->plan->slots[op->fd2];
    if (!error)
      error = cinit_result(syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
    if (target >= 0) close(target);
    close(tree);
    close(parent);
    return error;
  }
  // The mode must not be cut by the caller's umask; one process, one thread: nobody else is affected.
  mode_t before = umask(0);
  if (mknodat(parent, name, (mode_t)op->a, (dev_t)op->b) == 0) {
    if ((op->c || op->d) && fchownat(parent, name, (uid_t)op->c, (gid_t)op->d, AT_SYMLINK_NOFOLLOW)) error = -errno;
  } else if (errno != EEXIST) {
    error = -errno;
  } else if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW)) {
    error = -errno;
  } else if (!matches(&info, op)) {
    error = -EEXIST;
  }
  umask(before);
  close(parent);
  return error;
}

static int is_device(int fd, unsigned major_number, unsigned minor_number) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(major_number, minor_number);
}

int cinit_do_pty(struct cinit_state *state, const struct cinit_op *op) {
  int root = op->d ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : state->root_fd;
  if (root < 0) return -errno;
  // The container's own devpts first: the terminal then has a name inside. What is opened is checked to be a ptmx.
  int master = cinit_open_in_root(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW, 0);
  if (master >= 0 && !is_device(master, 5, 2)) {
    close(master);
    master = -ENODEV;
  }
  if (master < 0 && !op->d) {
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) return -errno;
    if (!is_device(master, 5, 2)) return -ENODEV;
  }
  if (master < 0) return master;
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock)) return -errno;
  // Never by the path /dev/pts/N: somebody inside may have replaced it.
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return -errno;
  if (op->b || op->c) {
    struct winsize size = {.ws_row = (unsigned short)op->b, .ws_col = (unsigned short)op->c};
    if (ioctl(master, TIOCSWINSZ, &size)) return -errno;
  }
  if (op->a) {
    int target = cinit_make_target(root, "/dev/console", 0, RESOLVE_NO_SYMLINKS);
    if (target < 0) return target;
    int error = cinit_bind_fd(slave, target, 0);
    close(target);
    if (error) return error;
  }
  int error = cinit_report(state->report_fd, CINIT_MESSAGE_TERMINAL, 0, 0, 0, NULL, master);
  close(master);
  if (op->d) close(root);
  state->terminal_fd = slave;
  return error;
}

int cinit_do_stdio(struct cinit_state *state, const struct cinit_op *op) {
  int sources[3] = {(int)op->a, (int)op->b, (int)op->c};
  if (op->d) {
    sources[0] = sources[1] = sources[2] = state->terminal_fd;
    if (ioctl(state->terminal_fd, TIOCSCTTY, 0)) return -errno;
  }
  // Out of the way first: one of the sources may be 0, 1 or 2 for another place.
  for (int i = 0; i < 3; i++) {
    int copy = fcntl(sources[i], F_DUPFD_CLOEXEC, 10);
    if (copy < 0) return -errno;
    sources[i] = copy;
  }
  for (int i = 0; i < 3; i++) {
    if (dup3(sources[i], i, 0) < 0) return -errno;
    close(sources[i]);
  }
  if (op->d) close(state->terminal_fd);
  return 0;
}
