// One operation after the other.
#include "internal.h"
#include <linux/keyctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);

static int open_proc(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -errno;
  int error = cinit_check_procfs(fd);
  if (!error) return fd;
  close(fd);
  return error;
}

static int write_proc(const struct cinit_op *op) {
  int fd = open_proc(op->path);
  if (fd < 0) return fd;
  int error = cinit_write_all(fd, op->text, strlen(op->text));
  close(fd);
  return error;
}

static int sync_with_parent(struct cinit_state *state, const struct cinit_op *op) {
  int error = cinit_report(state->report_fd, CINIT_MESSAGE_SYNC, 0, (int)op->a, 0, NULL, -1);
  if (error) return error;
  ssize_t count;
  while ((count = recv(state->report_fd, state->hook_input, sizeof state->hook_input, 0)) < 0)
    if (errno != EINTR) return -errno;
  if (count == 0) return -ECONNABORTED;
  state->hook_input_size = (uint64_t)count;
  return 0;
}

static int open_tree(struct cinit_state *state, const struct cinit_op *op) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (op->a ? AT_RECURSIVE : 0);
  int fd = (int)syscall(SYS_open_tree, AT_FDCWD, op->path, flags);
  if (fd < 0) return -errno;
  state->plan->slots[op->fd] = fd;
  return 0;
}

static int idmap(struct cinit_state *state, const struct cinit_op *op) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)op->fd2};
  unsigned flags = AT_EMPTY_PATH | (op->a ? AT_RECURSIVE : 0);
  return cinit_result(syscall(SYS_mount_setattr, state->plan->slots[op->fd], "", flags, &attributes, sizeof attributes));
}

static int root_ids(void) {
  // EINVAL: 0 is not mapped; then the process stays who it is.
  if (syscall(SYS_setgroups, 0, NULL) && errno != EPERM && errno != EINVAL) return -errno;
  if (syscall(SYS_setresgid, 0, 0, 0) && errno != EINVAL) return -errno;
  if (syscall(SYS_setresuid, 0, 0, 0) && errno != EINVAL) return -errno;
  return 0;
}

static int run_hook(struct cinit_state *state, const struct cinit_op *op) {
  int status = 0;
  int error =
      cinit_run_hook(op->path, op->list, op->env, state->hook_input, state->hook_input_size, (int)op->a, &status);
  if (error) return error;
  state->hook_status = status;
  return status ? -ECANCELED : 0;
}

static int stdio_owner(const struct cinit_op *op) {
  for (int fd = 0; fd < 3; fd++) {
    struct stat info;
    if (fstat(fd, &info)) return -errno;
    if (info.st_uid == op->a || (S_ISCHR(info.st_mode) && info.st_rdev == ((1u << 8) | 3u))) continue;
    // Not every kind of file can change hands, and not every mount lets it; the process can use what is open anyway.
    if (fchown(fd, (uid_t)op->a, (gid_t)-1) && errno != EINVAL && errno != EPERM && errno != EROFS) return -errno;
  }
  return 0;
}

int cinit_step(struct cinit_state *state, const struct cinit_op *op) {
  switch (op->kind) {
  case CINIT_SETNS: return cinit_result(setns(op->fd, (int)op->a));
  case CINIT_UNSHARE: return cinit_result(unshare((int)op->a));
  case CINIT_WRITE_FD: return cinit_write_all(op->fd, op->text, strlen(op->text));
  case CINIT_WRITE_PROC: return write_proc(op);
  case CINIT_OPEN_PROC: {
    int fd = open_proc(op->path);
    if (fd < 0) return fd;
    state->plan->slots[op->fd] = fd;
    return 0;
  }
  case CINIT_WRITE_SLOT: return cinit_write_all(state->plan->slots[op->fd], op->text, strlen(op->text));
  case CINIT_SYNC: return sync_with_parent(state, op);
  case CINIT_ROOT_IDS: return root_ids();
  case CINIT_SETSID: return cinit_result(setsid()) < 0 && errno != EPERM ? -errno : 0;
  case CINIT_KEYRING: {
    long result = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, op->text);
    return result < 0 && errno != ENOSYS ? -errno : 0;
  }
  case CINIT_PROPAGATION: return cinit_result(mount(NULL, op->path, NULL, op->a, NULL));
  case CINIT_OPEN_TREE: return open_tree(state, op);
  case CINIT_IDMAP: return idmap(state, op);
  case CINIT_ATTACH_ROOT: return cinit_do_attach_root(state, op);
  case CINIT_MAKE_DIRECTORY: {
    int fd = cinit_make_directories(state->root_fd, op->path, (mode_t)op->a, op->resolve);
    if (fd < 0) return fd;
    close(fd);
    return 0;
  }
  case CINIT_MOUNT: return cinit_do_mount(state, op);
  case CINIT_BIND: return cinit_do_bind(state, op);
  case CINIT_ATTRIBUTES: return cinit_do_attributes(state, op);
  case CINIT_SYMLINK: return cinit_do_symlink(state, op);
  case CINIT_DEVICE: return cinit_do_device(state, op);
  case CINIT_MASK: return cinit_do_mask(state, op);
  case CINIT_READONLY: return cinit_do_readonly(state, op);
  case CINIT_PTY: return cinit_do_pty(state, op);
  case CINIT_ROOT_READONLY: {
    struct cinit_attributes attributes = {.set = MOUNT_ATTR_RDONLY};
    return cinit_apply_attributes(state->root_fd, &attributes);
  }
  case CINIT_ENTER_ROOT: return cinit_do_enter_root(state, op);
  case CINIT_CHROOT_FD:
    if (fchdir(op->fd) || chroot(".")) return -errno;
    return cinit_result(chdir("/"));
  case CINIT_HOSTNAME: return cinit_result(sethostname(op->text, strlen(op->text)));
  case CINIT_DOMAINNAME: return cinit_result(setdomainname(op->text, strlen(op->text)));
  case CINIT_LOOPBACK_UP: return cinit_do_loopback();
  case CINIT_HOOK: return run_hook(state, op);
  case CINIT_STDIO: return cinit_do_stdio(state, op);
  case CINIT_STDIO_OWNER: return stdio_owner(op);
  case CINIT_READY: return cinit_do_ready(state, op);
  case CINIT_GATE: return cinit_do_gate(state, op);
  case CINIT_RLIMIT: {
    struct { uint64_t soft, hard; } limit = {op->b, op->c};
    return cinit_result(syscall(SYS_prlimit64, 0, (int)op->a, &limit, NULL));
  }
  case CINIT_BOUNDING: return cinit_do_bounding(op);
  case CINIT_USER: return cinit_do_user(op);
  case CINIT_CAPABILITIES: return cinit_do_capabilities(op);
  case CINIT_AMBIENT: return cinit_do_ambient(op);
  case CINIT_NO_NEW_PRIVS: return cinit_result(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  case CINIT_SECCOMP: return cinit_do_seccomp(op);
  case CINIT_UMASK: umask((mode_t)op->a); return 0;
  case CINIT_CHDIR: return cinit_do_chdir(op);
  case CINIT_PERSONALITY: return personality(op->a) < 0 ? -errno : 0;
  case CINIT_SCHEDULER: return cinit_result(syscall(SYS_sched_setattr, 0, op->blob, 0));
  case CINIT_IO_PRIORITY: return cinit_result(syscall(SYS_ioprio_set, 1, 0, (int)op->a));
  case CINIT_CLOSE_ON_EXEC: return cinit_result(syscall(SYS_close_range, (unsigned)op->a, ~0u, CLOSE_RANGE_CLOEXEC));
  case CINIT_LOOKUP: return cinit_do_lookup(op);
  case CINIT_EXECUTE: return cinit_do_execute(op);
  }
  return -ENOSYS;
}
