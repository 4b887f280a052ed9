#pragma once
#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>
#include <stdatomic.h>

#include "CLibFuse.h"

struct clibfuse {
  struct fuse_session *session;
  int device;
  cfuse_service service;  // of a tree
  cunion *tree;           // or of a union
  // Of the INIT request, whose answer is completed on its way: libfuse 3.14 does not know of passing through. 0: none under way.
  _Atomic uint64_t init;
  uint64_t offered;
  int passes;
};

// While INIT is answered: whether the kernel has offered to pass files through.
int clibfuse_may_pass(const clibfuse *);

// Makes the session of a mounted device, which is its own from here on. 0, or an errno: then the mount is gone and the device closed.
int clibfuse_begin(clibfuse *, const struct fuse_lowlevel_ops *, size_t size, int device, const char *target);

// Takes requests and has them answered until the mount is gone. 0 or an errno.
int clibfuse_loop(clibfuse *);

int clibfuse_serve_union(clibfuse *);

// With an OPEN that is answered, and with one that is not.
extern const struct fuse_lowlevel_ops clibfuse_operations, clibfuse_operations_with_opens;
