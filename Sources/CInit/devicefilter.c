// The device controller of the unified hierarchy is a BPF program.
#include "internal.h"
#include <linux/bpf.h>

static long bpf(int command, union bpf_attr *attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

int cinit_attach_device_filter(int cgroup_fd, const uint64_t *instructions, uint32_t count) {
  static const char license[] = "GPL";
  union bpf_attr load;
  memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = (uint64_t)(uintptr_t)instructions;
  load.insn_cnt = count;
  load.license = (uint64_t)(uintptr_t)license;
  int program = (int)bpf(BPF_PROG_LOAD, &load);
  if (program < 0) return -errno;

  uint32_t old[64];
  union bpf_attr query;
  memset(&query, 0, sizeof query);
  query.query.target_fd = (uint32_t)cgroup_fd;
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = (uint64_t)(uintptr_t)old;
  query.query.prog_cnt = 64;
  uint32_t old_count = bpf(BPF_PROG_QUERY, &query) ? 0 : query.query.prog_cnt;

  union bpf_attr attach;
  memset(&attach, 0, sizeof attach);
  attach.target_fd = (uint32_t)cgroup_fd;
  attach.attach_bpf_fd = (uint32_t)program;
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  int error = bpf(BPF_PROG_ATTACH, &attach) ? -errno : 0;
  // New one first: at no moment is everything allowed.
  for (uint32_t i = 0; !error && i < old_count; i++) {
    union bpf_attr get;
    memset(&get, 0, sizeof get);
    get.prog_id = old[i];
    int previous = (int)bpf(BPF_PROG_GET_FD_BY_ID, &get);
    if (previous < 0) continue;
    attach.attach_bpf_fd = (uint32_t)previous;
    bpf(BPF_PROG_DETACH, &attach);
    close(previous);
  }
  close(program);
  return error;
}
