// Shared by the files of this directory only.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CInit.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// <sys/mount.h> and <linux/mount.h> do not go together everywhere; these are the values of the kernel's ABI.
#ifndef MS_REC
#define MS_RDONLY 1
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_REC 16384
#define MS_UNBINDABLE (1 << 17)
#define MS_PRIVATE (1 << 18)
#define MS_SLAVE (1 << 19)
#define MS_SHARED (1 << 20)
#endif
#define CINIT_MNT_DETACH 2

struct cinit_state {
  const struct cinit_plan *plan;
  int report_fd;
  int root_fd;      // the container's root, valid until the gate
  int null_fd;      // the host's /dev/null, checked
  int mask_fd;      // the read-only tmpfs that hides directories
  int terminal_fd;  // the process's side of its terminal
  int hook_status;
  char hook_input[CINIT_HOOK_INPUT_MAX];
  uint64_t hook_input_size;
};

// Every step gives 0 or -errno.
int cinit_step(struct cinit_state *state, const struct cinit_op *op);

int cinit_report(int fd, uint32_t kind, int error, int value, uint32_t detail, const char *text, int passed_fd);

int cinit_open_in_root(int root, const char *path, uint64_t flags, uint64_t resolve);
int cinit_make_directories(int root, const char *path, mode_t mode, uint64_t resolve);
int cinit_open_parent(int root, const char *path, uint64_t resolve, const char **name, char *buffer, size_t size);
int cinit_make_target(int root, const char *path, int is_directory, uint64_t resolve);
int cinit_check_procfs(int fd);
void cinit_fd_path(char *buffer, int fd);
int cinit_write_all(int fd, const char *bytes, size_t size);

int cinit_do_mount(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_bind(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_attributes(struct cinit_state *state, const struct cinit_op *op);
int cinit_apply_attributes(int fd, const struct cinit_attributes *attributes);
int cinit_do_mask(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_readonly(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_attach_root(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_enter_root(struct cinit_state *state, const struct cinit_op *op);
int cinit_bind_fd(int from, int to, uint64_t attributes);

int cinit_do_symlink(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_device(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_pty(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_stdio(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_ready(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_gate(struct cinit_state *state, const struct cinit_op *op);
int cinit_do_user(const struct cinit_op *op);
int cinit_do_bounding(const struct cinit_op *op);
int cinit_do_capabilities(const struct cinit_op *op);
int cinit_do_ambient(const struct cinit_op *op);
int cinit_do_seccomp(const struct cinit_op *op);
int cinit_do_loopback(void);
int cinit_do_chdir(const struct cinit_op *op);
int cinit_do_lookup(const struct cinit_op *op);
int cinit_do_execute(const struct cinit_op *op);
void cinit_reset_signals(void);

static inline int cinit_result(long value) { return value < 0 ? -errno : (int)value; }
