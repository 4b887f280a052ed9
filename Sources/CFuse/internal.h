#pragma once
#include <stddef.h>

#include "CFuse.h"
#include "abi.h"

// Layers never change: what the kernel knows it may know for ever.
#define FOREVER 0x7fffffffu
#define READ_AHEAD (1u << 20)
#define LARGEST_WRITE (1u << 20)

// Settles INIT: fills `out`, and `state` if both speak the same major version. 0 or an errno for the kernel.
int cfuse_negotiate(const struct fuse_init_in *in, size_t size, bool with_opens, struct cfuse_init_out *out, cfuse_init_state *state);

// Pages of an archive.
typedef struct cfuse_mapped {
  void *start;
  size_t length;
  const uint8_t *bytes;
} cfuse_mapped;
// Maps bytes of a file, within its size, if all of them are here and in one piece. To be unmapped. They may only be given to the kernel: what is
// no longer there is EIO for who reads, and would be the end of us.
bool cfuse_map_present(const cfuse_service *service, uint32_t node, uint64_t offset, uint32_t count, cfuse_mapped *mapped);

// Calls `touch` for the spans that have these bytes, once for each.
void cfuse_touch(const cfuse_service *service, uint32_t node, uint64_t offset, uint32_t count);
// The kernel asks for a directory's names, from one on.
void cfuse_listing(const cfuse_service *service, int device, uint32_t directory, uint64_t offset);
