// Who the process is and what it may do.
#include "internal.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {
      {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
      {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)}};
  return cinit_result(syscall(SYS_capset, &header, data));
}

static int get_capabilities(uint64_t *effective, uint64_t *permitted) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data)) return -errno;
  *effective = data[0].effective | (uint64_t)data[1].effective << 32;
  *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
  return 0;
}

int cinit_own_capabilities(uint64_t *permitted, uint64_t *bounding) {
  uint64_t effective;
  int error = get_capabilities(&effective, permitted);
  if (error) return error;
  *bounding = 0;
  for (int c = 0; c < 64; c++) {
    int has = prctl(PR_CAPBSET_READ, c, 0, 0, 0);
    if (has < 0) break;
    if (has) *bounding |= 1ull << c;
  }
  return 0;
}

int cinit_do_bounding(const struct cinit_op *op) {
  for (int c = 0; c < 64; c++) {
    if (op->a >> c & 1) continue;
    if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break; // past the last capability this kernel has
    return -errno;
  }
  return 0;
}

int cinit_do_user(const struct cinit_op *op) {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)) return -errno;
  size_t count = op->blob_size / sizeof(uint32_t);
  if (syscall(SYS_setgroups, count, op->blob)) {
    // Forbidden in a user namespace made by somebody without privileges; then there are no groups to get rid of.
    if (errno != EPERM || count) return -errno;
  }
  if (syscall(SYS_setresgid, (gid_t)op->b, (gid_t)op->b, (gid_t)op->b)) return -errno;
  if (syscall(SYS_setresuid, (uid_t)op->a, (uid_t)op->a, (uid_t)op->a)) return -errno;
  // The change of user emptied the effective set only; the steps that follow need it.
  uint64_t effective, permitted;
  int error = get_capabilities(&effective, &permitted);
  if (!error) error = set_capabilities(permitted, permitted, 0);
  return error;
}

int cinit_do_capabilities(const struct cinit_op *op) {
  int error = set_capabilities(op->a, op->b, op->c);
  if (!error && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0)) error = -errno;
  return error;
}

int cinit_do_ambient(const struct cinit_op *op) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) return -errno;
  for (int c = 0; c < 64; c++)
    if (op->a >> c & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0)) return -errno;
  return 0;
}

int cinit_do_seccomp(const struct cinit_op *op) {
  struct sock_fprog program = {
      .len = (unsigned short)(op->blob_size / sizeof(struct sock_filter)), .filter = (struct sock_filter *)op->blob};
  return cinit_result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)op->a, &program));
}
