// What <linux/fuse.h> of protocol 7.38 lacks. Numbers: include/uapi/linux/fuse.h of Linux 6.18.
#pragma once
#include <linux/fuse.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define UNION_PASSTHROUGH (1ull << 37)
#define UNION_HAS_RESEND (1ull << 39)
#define UNION_FOPEN_PASSTHROUGH (1u << 7)

struct union_init_out {
  uint32_t major, minor, max_readahead, flags;
  uint16_t max_background, congestion_threshold;
  uint32_t max_write, time_gran;
  uint16_t max_pages, map_alignment;
  uint32_t flags2, max_stack_depth;
  uint32_t unused[6];
};

struct union_open_out {
  uint64_t fh;
  uint32_t open_flags;
  int32_t backing;
};

struct union_backing_map {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};

#define UNION_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct union_backing_map)
#define UNION_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
