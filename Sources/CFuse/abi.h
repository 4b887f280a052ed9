// What <linux/fuse.h> of protocol 7.38 lacks, as include/uapi/linux/fuse.h of Linux 6.18 (7.45) has it. Names of our own: a newer header may have its.
#pragma once
#include <linux/fuse.h>
#include <stdint.h>
#include <sys/ioctl.h>

// The newest version whose messages we know: 7.40, passthrough and RESEND.
#define CFUSE_MINOR 40u

// Bits of INIT, over `flags` and `flags2`.
#define CFUSE_INIT_PASSTHROUGH (1ull << 37)
#define CFUSE_INIT_HAS_RESEND (1ull << 39)

// A request that was sent again has this bit in its number, and so has its answer.
#define CFUSE_RESENT (1ull << 63)
#define CFUSE_NOTIFY_RESEND 7

#define CFUSE_OPEN_PASSTHROUGH (1u << 7)

struct cfuse_init_out {
  uint32_t major;
  uint32_t minor;
  uint32_t max_readahead;
  uint32_t flags;
  uint16_t max_background;
  uint16_t congestion_threshold;
  uint32_t max_write;
  uint32_t time_gran;
  uint16_t max_pages;
  uint16_t map_alignment;
  uint32_t flags2;
  uint32_t max_stack_depth;
  uint32_t unused[6];
};
_Static_assert(sizeof(struct cfuse_init_out) == 64, "the kernel's size");

struct cfuse_open_out {
  uint64_t handle;
  uint32_t flags;
  int32_t backing;
};
_Static_assert(sizeof(struct cfuse_open_out) == 16, "the kernel's size");

struct cfuse_backing_map {
  int32_t descriptor;
  uint32_t flags;
  uint64_t padding;
};
#define CFUSE_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct cfuse_backing_map)
#define CFUSE_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
