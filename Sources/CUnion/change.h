#pragma once
#include "union.h"

// A file to be made.
struct birth {
  mode_t mode;  // with the type
  dev_t device;
  const char *target;
  mode_t mask;  // the caller's
  int open;  // a regular file that is opened at once
  int fd;    // that descriptor, or -1
};

int bear(struct worker *, const char *name, size_t length, struct birth *, mode_t mask, struct fuse_entry_out *);
