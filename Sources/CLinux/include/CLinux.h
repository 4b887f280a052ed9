// What Swift cannot see through Glibc: everything behind _GNU_SOURCE, and calls that have no libc wrapper.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
// Two types look different under _GNU_SOURCE, and Swift refuses to load both shapes beside its own Glibc module: give these
// headers the plain view before anything else includes them.
#include <features.h>
#undef __USE_XOPEN
#include <sys/select.h>
#define __USE_XOPEN 1
#undef __USE_GNU
#include <sys/resource.h>
#define __USE_GNU 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static inline int clinux_errno(void) { return errno; }
static inline void clinux_set_errno(int value) { errno = value; }

// Each wrapper returns what the system call returns and leaves errno set.

static inline int clinux_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  for (int attempt = 0;; attempt++) {
    int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    // EAGAIN: something on this machine was renamed or mounted meanwhile, and the kernel could not prove that the path stays where it must (openat2(2)).
    if (fd >= 0 || errno != EAGAIN || attempt == 128) return fd;
    sched_yield();
  }
}
static inline int clinux_renameat2(int oldfd, const char *oldpath, int newfd, const char *newpath, unsigned flags) {
  return (int)syscall(SYS_renameat2, oldfd, oldpath, newfd, newpath, flags);
}
static inline int clinux_pidfd_open(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }
static inline int clinux_pidfd_send_signal(int pidfd, int sig) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, (void *)0, 0u);
}
static inline int clinux_close_range(unsigned first, unsigned last, unsigned flags) {
  return (int)syscall(SYS_close_range, first, last, flags);
}
static inline int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
static inline int clinux_openat(int dirfd, const char *path, int flags, mode_t mode) { return openat(dirfd, path, flags, mode); }
static inline int clinux_fcntl(int fd, int cmd, long arg) { return fcntl(fd, cmd, arg); }
static inline int clinux_ioctl(int fd, unsigned long request, void *arg) { return ioctl(fd, request, arg); }
static inline int clinux_prctl(int op, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
  return prctl(op, a, b, c, d);
}
static inline unsigned clinux_major(dev_t d) { return major(d); }
static inline unsigned clinux_minor(dev_t d) { return minor(d); }
static inline dev_t clinux_makedev(unsigned ma, unsigned mi) { return makedev(ma, mi); }
static inline int clinux_wifexited(int s) { return WIFEXITED(s); }
static inline int clinux_wexitstatus(int s) { return WEXITSTATUS(s); }
static inline int clinux_wifsignaled(int s) { return WIFSIGNALED(s); }
static inline int clinux_wtermsig(int s) { return WTERMSIG(s); }
static inline long clinux_fsopen(const char *type, unsigned flags) { return syscall(SYS_fsopen, type, flags); }
static inline long clinux_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux) {
  return syscall(SYS_fsconfig, fd, command, key, value, aux);
}
static inline long clinux_fsmount(int fd, unsigned flags, unsigned attributes) { return syscall(SYS_fsmount, fd, flags, attributes); }
static inline long clinux_move_mount(int from, const char *frompath, int to, const char *topath, unsigned flags) {
  return syscall(SYS_move_mount, from, frompath, to, topath, flags);
}
static inline void clinux_strerror(int number, char *buffer, size_t size) {
  snprintf(buffer, size, "%s", strerrordesc_np(number) ? strerrordesc_np(number) : "unknown error");
}
extern char **environ;
/// The environment of this process, to hand on to a child.
static inline char **clinux_environ(void) { return environ; }
#include <locale.h>
#include <sys/mman.h>
/// A locale in which names that are UTF-8 pass unchanged, for a thread (uselocale(3)), whatever the process has. NULL, errno.
static inline locale_t clinux_utf8_locale(void) { return newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); }
static inline int clinux_memfd_create(const char *name, unsigned flags) { return (int)syscall(SYS_memfd_create, name, flags); }
/// Gives the heap's free pages back to the kernel, those between used ones too, and lets go of the program's and its libraries' own pages: they are in
/// their files, and what is needed again comes back by itself. For after work that will not be done again soon. Takes milliseconds.
void clinux_give_back(void);
/// For a server that is to stay small: few heaps for its threads, and what is large goes back to the kernel as soon as it is free. What a read needs
/// is not large.
static inline void clinux_keep_heap_small(void) {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 8 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
}
/// All threads of this process, and those that they start, get the processors and disks when nobody else wants them. 0, or -1 where it is not permitted.
/// One that is being started at this moment may be missed: to be called early.
int clinux_be_idle(void);
/// Likewise, but they get a part: others go first, and this is done in the end. Nobody waits for it, but something depends on it.
int clinux_be_modest(void);
/// In Swift, `flock` is the structure.
static inline int clinux_flock(int fd, int how) { return flock(fd, how); }
#include <sys/fsuid.h>
/// Gives this thread alone the identity for files; root's power over them goes with it. Returns whether it worked.
static inline int clinux_become_for_files(uid_t user, gid_t group) {
  setfsgid(group);
  setfsuid(user);
  return (uid_t)setfsuid((uid_t)-1) == user && (gid_t)setfsgid((gid_t)-1) == group;
}
/// Lets this process have as many descriptors as it may. Programs that it starts inherit that.
static inline void clinux_raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}
/// One packet with descriptors; at most 8 of them. What sendmsg(2) returns.
static inline ssize_t clinux_send_descriptors(int socket, const void *bytes, size_t count, const int *descriptors, int how_many) {
  char control[CMSG_SPACE(8 * sizeof(int))] = {0};
  struct iovec part = {(void *)bytes, count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (how_many > 8) {
    errno = EINVAL;
    return -1;
  }
  if (how_many > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE((size_t)how_many * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)how_many * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, (size_t)how_many * sizeof(int));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}
/// The next packet, its descriptors close-on-exec: `how_many` has room for 8, and gets their number. What recvmsg(2) returns; EMFILE if this process could not
/// have all of its descriptors: then it gets none, and the packet is gone.
static inline ssize_t clinux_receive_descriptors(int socket, void *bytes, size_t count, int *descriptors, int *how_many) {
  char control[CMSG_SPACE(8 * sizeof(int))];
  struct iovec part = {bytes, count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *how_many = 0;
  ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got < 0) return got;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int here = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(descriptors + *how_many, CMSG_DATA(header), (size_t)here * sizeof(int));
    *how_many += here;
  }
  if (message.msg_flags & MSG_CTRUNC) {
    while (*how_many > 0) close(descriptors[--*how_many]);
    errno = EMFILE;
    return -1;
  }
  return got;
}
/// bind(2) and connect(2) with a unix socket's path; ENAMETOOLONG if it has more than 107 bytes.
static inline int clinux_unix_address(struct sockaddr_un *address, const char *path) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address->sun_path, path);
  return 0;
}
static inline int clinux_bind_unix(int socket, const char *path) {
  struct sockaddr_un address;
  return clinux_unix_address(&address, path) < 0 ? -1 : bind(socket, (struct sockaddr *)&address, sizeof address);
}
static inline int clinux_connect_unix(int socket, const char *path) {
  struct sockaddr_un address;
  return clinux_unix_address(&address, path) < 0 ? -1 : connect(socket, (struct sockaddr *)&address, sizeof address);
}
static inline int clinux_accept(int socket) { return accept4(socket, (struct sockaddr *)0, (socklen_t *)0, SOCK_CLOEXEC); }
static inline int clinux_pipe(int *ends) { return pipe2(ends, O_CLOEXEC); }
