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

// Calls `touch` for the spans that have these bytes, once for each.
void cfuse_touch(const cfuse_service *service, uint32_t node, uint64_t offset, uint32_t count);
// The kernel asks for a directory's names, from one on.
void cfuse_listing(const cfuse_service *service, int device, uint32_t directory, uint64_t offset);
