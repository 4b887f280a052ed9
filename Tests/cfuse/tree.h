// A tree made up for tests, and what its files hold.
#pragma once
#include "CFuse.h"

typedef struct made_tree {
  cfuse_tree tree;
  uint32_t small;  // some file with a few KiB
  uint32_t large;  // a file of several MiB
  uint32_t many;   // a directory with thousands of names
} made_tree;

// Always the same one. Not thread safe the first time. Aborts when memory is gone.
const made_tree *make_tree(void);

// What a file holds from an offset on.
void fill_bytes(uint32_t node, uint64_t offset, uint8_t *bytes, size_t count);

// A path from the root, for messages and for tests that open one file. In a static buffer per thread.
const char *path_of(const cfuse_tree *tree, uint32_t node);
