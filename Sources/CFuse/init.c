#include <errno.h>
#include <string.h>

#include "internal.h"

int cfuse_negotiate(const struct fuse_init_in *in, size_t size, bool with_opens, struct cfuse_init_out *out, cfuse_init_state *state) {
  memset(out, 0, sizeof *out);
  memset(state, 0, sizeof *state);
  if (size < offsetof(struct fuse_init_in, max_readahead)) return EINVAL;
  if (in->major < FUSE_KERNEL_VERSION) return EPROTO;
  out->major = FUSE_KERNEL_VERSION;
  out->minor = in->minor < CFUSE_MINOR ? in->minor : CFUSE_MINOR;
  // To a newer major version the answer is ours alone; the kernel asks again.
  if (in->major > FUSE_KERNEL_VERSION) {
    out->minor = CFUSE_MINOR;
    return 0;
  }
  if (size < offsetof(struct fuse_init_in, flags2)) return EINVAL;
  uint64_t offered = in->flags;
  if ((offered & FUSE_INIT_EXT) && size >= offsetof(struct fuse_init_in, unused)) offered |= (uint64_t)in->flags2 << 32;
  uint64_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS | FUSE_CACHE_SYMLINKS | FUSE_MAX_PAGES | FUSE_INIT_EXT |
                    FUSE_NO_OPENDIR_SUPPORT | CFUSE_INIT_HAS_RESEND | (with_opens ? CFUSE_INIT_PASSTHROUGH : FUSE_NO_OPEN_SUPPORT);
  uint64_t granted = wanted & offered;
  out->flags = (uint32_t)granted;
  out->flags2 = (uint32_t)(granted >> 32);
  // Backing files on plain file systems, and one overlay above.
  if (granted & CFUSE_INIT_PASSTHROUGH) out->max_stack_depth = 1;
  out->max_readahead = READ_AHEAD;
  out->max_background = 64;
  out->congestion_threshold = 48;
  out->max_write = LARGEST_WRITE;
  out->max_pages = LARGEST_WRITE / 4096;
  out->time_gran = 1;
  *state = (cfuse_init_state){
      .minor = out->minor,
      .offered = offered,
      .granted = granted,
      .can_resend = (granted & CFUSE_INIT_HAS_RESEND) != 0,
      .passthrough = (granted & CFUSE_INIT_PASSTHROUGH) != 0,
  };
  return 0;
}
