// A writable union of directories over the raw FUSE device, for hosts where the kernel's overlayfs cannot be used.
//
// What is on disk is overlayfs's own format (Documentation/filesystems/overlayfs.rst): a whiteout is a character device 0:0, an opaque directory carries
// the attribute `trusted.overlay.opaque` (or `user.overlay.opaque`) = "y". The union must be the only writer of `upper` while it is mounted, and nobody may
// write to the lowers: what the kernel has been told it may remember for ever.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct cunion cunion;

struct cunion_options {
  const char *const *lowers;  // nearest first
  size_t lower_count;
  // Of each lower directory a file that `cunion_catalog` has made, or NULL. Names and attributes are read there instead of the directory, if it is of this
  // directory: one that is not there, is damaged, or is of another is done without. While the union lives it may be removed, and not be written to.
  const char *const *catalogs;
  const char *upper;
  const char *work;  // on the same file system as `upper`, and not inside it; what an earlier server left in it is removed
  int user_xattr;    // marks are user.overlay.* instead of trusted.overlay.*
  // Let the kernel read and write files of the upper directory itself. It needs CAP_SYS_ADMIN in the first user namespace, and an upper directory on a file
  // system that is not stacked; where it is refused, this process reads and writes. Without it files are opened without asking, so that reading again what is
  // in the page cache costs nothing: better where much is read often and little written, and where passthrough is not allowed.
  int passthrough;
  // With `has_state`: memory for all that a successor needs, made by `cunion_state` and not used before; or used by a server that is dead, with the same
  // options otherwise. The descriptor stays the caller's.
  int has_state;
  int state;
};

// Memory that outlives a server, as a descriptor; -1 and errno. Whoever holds it and the device can start a successor.
int cunion_state(void);

// Writes down what there is in a directory that nobody will write to any more, for unions over it: about 120 bytes a file. Only the whole file ever appears. 0 or
// an errno: EAGAIN if a directory in it was changed meanwhile, ENAMETOOLONG if it is more than 128 levels deep. That a file was written to meanwhile is not seen, and
// found when it is opened. From any thread; blocks.
int cunion_catalog(const char *directory, const char *file);

// NULL with a sentence in `error` that names the path and the cause.
cunion *cunion_open(const struct cunion_options *options, char *error, size_t error_size);

// Opens /dev/fuse and mounts it at `target`. The device, or -1 and errno. Nothing under `target` answers before `cunion_serve` runs.
int cunion_mount(const char *target, const char *source);

// Before `cunion_serve`, where there is a state: if a server went before this one, what it had answered stays, and what it had not is done now, and once.
// 0 or an errno. The thread's file mode creation mask and file system user are changed meanwhile.
// What is lost: what a removed directory, or a removed file that is not open, could still be asked by somebody who is in it or has it by O_PATH: ESTALE.
int cunion_take_over(cunion *, int device);

// Answers until the file system is unmounted: 0, or an errno. Several threads may call it for one device; each is taken over by it: it gets a file mode
// creation mask and file system user of its own (see unshare(2), CLONE_FS). Blocks.
// /proc must be mounted. A part of RLIMIT_NOFILE (an eighth for directories, at most 512, and one for removed files) is used besides the files open.
int cunion_serve(cunion *, int device);

// After every `cunion_serve` has returned. Does not close the device.
void cunion_close(cunion *);

// Another way to the kernel than the raw device: whoever reads requests has each carried out on the thread that has read it, and is given its answer there.
// Without a successor: for a union that has no state.
typedef struct worker cunion_worker;

struct cunion_way {
  // Once for each request that has an answer: an errno and no parts, or 0 and the bytes that follow the header.
  void (*answer)(void *context, int error, const struct iovec *parts, int count);
  // The kernel must ask for a file's attributes again.
  void (*forget_attributes)(void *context, uint64_t inode);
  // A file's beginning goes into the page cache. 0 or an errno.
  int (*store)(void *context, uint64_t inode, const void *bytes, size_t count);
};

// Before the first request: whether the kernel has offered passthrough. Whether it is to be accepted, and O_TRUNC to come with OPEN then.
int cunion_agree(cunion *, int offered);

// This thread's, which is taken over as by `cunion_serve`. `device` is where backing files are registered. NULL and errno.
cunion_worker *cunion_worker_open(cunion *, int device, const struct cunion_way *way, void *context);
// `request` is as the device would give it (<linux/fuse.h>): header and body, any but INIT.
void cunion_carry_out(cunion_worker *, const void *request, size_t size);
void cunion_worker_close(cunion_worker *);
