// Looks at everything under a mount and compares it with the tree it is said to show.
#pragma once
#include "tree.h"

typedef struct walk_result {
  uint64_t checks;
  uint64_t differences;  // told on stderr, the first ones
  uint64_t seen;         // a sum over all that was seen: two mounts of the same tree have the same
} walk_result;

walk_result walk(const cfuse_tree *tree, const char *target);
