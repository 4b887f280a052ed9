// A read-only file system over the raw FUSE device: a tree that lies flat in memory, answered in C, and bytes that come from elsewhere.
//
// What is asked most, names and attributes, takes no lock, no allocation and no call out of C. Only READ leaves: to a handler that answers when it can.
#pragma once
#include <stddef.h>
#include <stdint.h>

// A file. Its place in the array is its inode's number less one; the first is the root.
typedef struct cfuse_node {
  uint64_t size;
  int64_t seconds;
  uint32_t nanoseconds;
  uint32_t mode;  // with the type
  uint32_t owner;
  uint32_t group;
  uint32_t links;
  uint32_t major;
  uint32_t minor;
  uint32_t parent;  // of a directory
  uint32_t first;   // of a directory: its names, sorted by their bytes
  uint32_t count;
  uint32_t target;  // of a symbolic link
  uint32_t target_length;
  uint32_t attribute;  // its extended attributes
  uint32_t attribute_count;
} cfuse_node;

typedef struct cfuse_name {
  uint32_t node;
  uint32_t text;
  uint32_t length;
} cfuse_name;

typedef struct cfuse_attribute {
  uint32_t name;
  uint32_t name_length;
  uint32_t value;
  uint32_t value_length;
} cfuse_attribute;

// Nothing in it changes while it is served. Texts are places in `text`.
typedef struct cfuse_tree {
  const cfuse_node *nodes;
  const cfuse_name *names;
  const cfuse_attribute *attributes;
  const uint8_t *text;
  uint32_t node_count;
  uint64_t bytes;  // of all files, for statfs
} cfuse_tree;

// Asks for bytes of a file, within its size; `count` is at least 1. Must end in cfuse_reply with the same device and number, once, on any thread, at any time.
typedef void (*cfuse_reader)(void *context, int device, uint64_t number, uint32_t node, uint64_t offset, uint32_t count);

// Opens the FUSE device and mounts it at an existing directory. Gives its descriptor, or -1 with errno.
int cfuse_mount(const char *target, const char *source);

// Answers requests until the mount is gone. Several threads may serve one device.
// Gives 0 when the mount is gone, else an errno.
int cfuse_serve(int device, const cfuse_tree *tree, cfuse_reader read, void *context);

// Answers a read with bytes, or with an errno. 0, or an errno: ENOENT if whoever asked has given up.
int cfuse_reply(int device, uint64_t number, int error, const void *bytes, size_t count);

// The place of a name in a directory's node, or -1. For tests: what LOOKUP does.
int64_t cfuse_find(const cfuse_tree *tree, uint32_t directory, const char *name, size_t length);
