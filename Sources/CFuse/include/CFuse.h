// A read-only file system over the raw FUSE device: a tree that lies flat in memory, answered in C, and bytes that come from elsewhere.
//
// What is asked most, names and attributes, takes no lock, no allocation and no call out of C. Only READ leaves: to a handler that answers when it can.
#pragma once
#include <stdbool.h>
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

// A node's bytes: which layer has them, from below, and which pieces of its archive they are; what is in no piece is zero.
typedef struct cfuse_contents {
  uint32_t layer;
  uint32_t first;
  uint32_t count;
  uint32_t directory;  // one that names it: where files are looked for that will be read next
} cfuse_contents;

// Sorted by their offsets, without overlaps.
typedef struct cfuse_piece {
  int64_t offset;  // in the file
  int64_t place;   // in the archive
  int64_t count;
} cfuse_piece;

// Nothing in it changes while it is served. Texts are places in `text`.
typedef struct cfuse_tree {
  const cfuse_node *nodes;
  const cfuse_name *names;
  const cfuse_attribute *attributes;  // NULL: no node has any
  const cfuse_contents *contents;     // of each node; NULL: reads are answered by the reader alone
  const cfuse_piece *pieces;
  const uint8_t *text;
  uint32_t node_count;
  uint32_t piece_count;
  uint64_t bytes;  // of all files, for statfs
} cfuse_tree;

// Asks for bytes of a file, within its size; `count` is at least 1. Must end in cfuse_reply with the same device and number, once, on any thread, at any time.
// `thread` is who reads, as the PID namespace of the mount knows it; 0 if it does not.
typedef void (*cfuse_reader)(void *context, int device, uint64_t number, uint32_t thread, uint32_t node, uint64_t offset, uint32_t count);

// A descriptor of the file's complete bytes, of exactly its size, for the callee to close; -1: not complete (yet). Quick: other opens of the file wait.
typedef int (*cfuse_backing)(void *context, uint32_t node);

// A layer's unpacked archive, of which parts are on this machine: spans that lie side by side. Belongs to whoever serves.
typedef struct cfuse_archive {
  int file;
  uint32_t count;          // of spans
  const uint8_t *present;  // of each span: whether its bytes are in the file. Others set it meanwhile
  const uint8_t *ends;     // of each span: where it ends in the archive, an int64_t every `stride` bytes
  size_t stride;
  const uint8_t *refused;  // not 0: nothing of it may be read any more
  uint8_t *touched;        // of each span: whether `touch` was called for it
} cfuse_archive;

// A span was read from for the first time. Must return at once.
typedef void (*cfuse_toucher)(void *context, uint32_t layer, uint32_t span);

// The small files of a directory are wanted soon: has cfuse_push_directory called on a thread that answers no reads. Must return at once.
typedef void (*cfuse_pusher)(void *context, int device, uint32_t directory);

// What is worth giving to the kernel unasked, in bytes.
#define CFUSE_SMALL (128u << 10)

#define CFUSE_KEPT_MOST 256

// What a device is served with. The same for all threads of a device, and until the last of them has ended.
typedef struct cfuse_service {
  const cfuse_tree *tree;
  cfuse_reader read;
  void *context;  // of the callbacks
  // With archives, reads of what is here are answered without the reader: by the same thread, without a lock. As many as the tree has layers.
  const cfuse_archive *archives;
  uint32_t archive_count;
  cfuse_toucher touch;  // may be NULL
  uint64_t *answered;   // how many reads were answered so; may be NULL
  // How far the directories' files have been given away: a number for each node (fewer than 2^30) and one more, zeroed. NULL: nothing is given unasked.
  uint32_t *ahead;
  cfuse_pusher push;
  // Without a block, OPEN is refused once and never asked again: right for small files. With one, every OPEN is answered, and files that are complete
  // are passed through: the kernel reads them without a question. `cfuse_state_size` bytes, zeroed when mounted and kept as long as the mount:
  // in shared memory if a successor shall serve on.
  void *state;
  cfuse_backing backing;  // only with a block
  // How many complete files the kernel keeps after their last open, at most CFUSE_KEPT_MOST: the next open asks nobody and costs about a third less.
  // Their bytes stay on disk until then, though unlinked. 0: every last open gives the file back. The same for all processes that serve a mount.
  uint32_t kept;
} cfuse_service;

// What the first exchange with the kernel has settled.
typedef struct cfuse_init_state {
  uint32_t minor;     // of the protocol's version 7
  uint64_t offered;   // FUSE_* bits of INIT, from the kernel
  uint64_t granted;   // those that are in force
  bool can_resend;    // a successor can have requests again that this process took with it
  bool passthrough;   // the kernel allows it; each file still has to be accepted
} cfuse_init_state;

typedef struct cfuse_counters {
  uint64_t opens_cached;
  uint64_t opens_passthrough;
  uint64_t reads;              // that left to the reader
  uint64_t backings;           // complete files given to the kernel
  uint64_t backing_failures;   // complete files the kernel refused; they are read as others are
  int32_t backing_error;       // errno of the last one. EBADMSG: its size is not that in the tree
  int32_t passthrough_off;     // errno: nothing is passed through any more. EOPNOTSUPP: the kernel never could
} cfuse_counters;

typedef struct cfuse_mount_options {
  bool allow_other;          // not only who mounts may look
  bool default_permissions;  // the kernel checks modes and owners itself, as on any other file system
  bool nosuid;
  bool nodev;
  bool read_only;
} cfuse_mount_options;

// Opens the FUSE device and mounts it at an existing directory. Gives its descriptor, or -1 with errno.
int cfuse_mount_with(const char *target, const char *source, const cfuse_mount_options *options);

// Read-only, for all, with permissions, set-uid and devices.
int cfuse_mount(const char *target, const char *source);

// Answers until INIT is: only then can the mount be handed to another process. Once, after mounting. 0 or errno; ENODEV: unmounted before.
int cfuse_handshake(int device, const cfuse_service *service, cfuse_init_state *state);

// Answers requests until the mount is gone. Several threads may serve one device. INIT is answered if it comes and not needed:
// a process that was given the device of another one serves at once.
// Gives 0 when the mount is gone, else an errno.
int cfuse_serve_with(int device, const cfuse_service *service);
int cfuse_serve(int device, const cfuse_tree *tree, cfuse_reader read, void *context);

// Answers a read with bytes, or with an errno. 0, or an errno: ENOENT if whoever asked has given up.
int cfuse_reply(int device, uint64_t number, int error, const void *bytes, size_t count);

// Asks for all requests again that were read from the device and not answered, by whatever process. For a successor: one that still has answers to give
// gets ENOENT for them. 0 or errno; EINVAL: the kernel cannot (before Linux 6.9).
int cfuse_resend(int device);

// Makes this process the one that serves: call before its first cfuse_serve, when its predecessor serves no more. Then as cfuse_resend.
// A predecessor killed inside cfuse_push may end only when the successor answers: whoever starts that one must not wait for the other's end for ever.
// EPROTO: the service's block belongs to another tree or another version of this code.
int cfuse_take_over(int device, const cfuse_service *service);

size_t cfuse_state_size(const cfuse_tree *tree);
void cfuse_counters_of(const void *state, cfuse_counters *counters);

// Gives bytes of a file to the page cache before they are asked for. From a page's start to a page's end or the file's: the kernel keeps whole pages only,
// and takes what goes beyond the size for growth. Waits while a read of the same pages is unanswered: never on the thread that has to answer it.
// 0 or errno; ENOENT: the kernel does not know the inode (yet).
int cfuse_push(int device, uint32_t node, uint64_t offset, const void *bytes, size_t count);

// Makes the kernel forget what it has of a file's bytes, mapped or not: they are asked for again. Waits as cfuse_push does. 0 or errno; ENOENT: the kernel
// does not know the inode.
int cfuse_forget_bytes(int device, uint32_t node);

// The place of a name in a directory's node, or -1. For tests: what LOOKUP does.
int64_t cfuse_find(const cfuse_tree *tree, uint32_t directory, const char *name, size_t length);

// Copies bytes of a file, within its size, if all of them are in the archives. False for whatever is in the way: the reader finds out what, and says so.
bool cfuse_read_present(const cfuse_service *service, uint32_t node, uint64_t offset, uint32_t count, uint8_t *bytes);
// A file was read: tells of the span, and has the files beside it pushed.
void cfuse_notice(const cfuse_service *service, int device, uint32_t node);
// Pushes small files of a directory that are here, from where it stopped before: until one is not, the kernel knows the names no more (yet), or some MiB
// are given. `buffer` has CFUSE_SMALL bytes. Gives how many the kernel took. On one thread of the process at a time.
uint32_t cfuse_push_directory(const cfuse_service *service, int device, uint32_t directory, uint8_t *buffer);

// For other transports of the same tree: how OPEN and RELEASE are answered with a state block. An inode is never open cached and passed through at once.
// `number` is the request's, for one that comes again after a takeover; 0 if it cannot.
typedef struct cfuse_opened {
  uint32_t flags;   // FOPEN_*
  int32_t backing;  // the kernel's number, with FOPEN_PASSTHROUGH
} cfuse_opened;
int cfuse_open_node(int device, const cfuse_service *service, uint32_t node, uint64_t number, cfuse_opened *opened);
void cfuse_release_node(int device, const cfuse_service *service, uint32_t node);
// Ends passing through for good, for a reason that the counters tell.
void cfuse_state_refuse(void *state, int error);
// 0, or EPROTO if the block belongs to another tree or another version of this code. A zeroed one is taken.
int cfuse_state_check(void *state, const cfuse_tree *tree);
void cfuse_count_read(const cfuse_service *service);
