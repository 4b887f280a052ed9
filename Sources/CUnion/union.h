// The tree of a union, and what its parts offer each other.
//
// A node is a file; its place in the table is its number for the kernel. A slot is a name in a directory. Both lie in tables and point to each other by index.
// One lock guards the tree; it is not held while data is read, written or copied.
//
// The tables lie in memory that outlives the process (state.c), so that a successor can go on. Therefore entries are read by `…_at`, changed only after
// `…_edit`, which writes down what was there, and never hold an address. What is marked "own" is of this process alone: a successor makes it anew.
#pragma once
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>

#include "CUnion.h"
#include "catalog.h"
#include "protocol.h"

#define UPPER 0
#define ROOT 1
#define LARGEST_WRITE (1u << 20)
#define BUFFER (LARGEST_WRITE + (64u << 10))
#define FOREVER 0x7fffffffu
#define OPEN_DIRECTORIES 512
#define LARGEST_REPLY 512
#define LARGEST_CHANGE (80u << 10)
#define LARGEST_FORGET 4096u  // of those that are begun by a successor
#define POOLS 9
#define MOST_LAYERS 256

// A directory in one layer.
struct place {
  uint16_t layer;
  int16_t open;         // own: where its descriptor is remembered; -1: it is not open
  uint32_t catalogued;  // its number in the layer's catalog; 0: it is not looked at there
};

// BUSY and PUSHED are own. PARKED: without a name, and kept under its number in the work directory.
// MAPPED: somebody had it open by passthrough to read and write, and may still have it mapped.
enum { NODE_USED = 1, NODE_LOADED = 2, NODE_DEAD = 4, NODE_SHARED = 8, NODE_PARKED = 16, NODE_MAPPED = 32 };
enum { NODE_BUSY = 1, NODE_PUSHED = 2 };

struct node {
  uint64_t ino;
  uint64_t lookups;
  uint64_t upper_ino;      // key of the table of files with several names, with NODE_SHARED
  uint64_t next_sequence;  // of a directory: position of the next name
  uint32_t places;         // of a directory, in the pool: the layers that hold it, nearest first
  uint32_t lower_path;     // of a lower file without a name, in the pool: where it lies in its layer
  uint32_t kept;           // change in which it was written down
  uint32_t generation;
  uint32_t type;         // S_IFMT
  uint32_t name;         // first name; 0: it has none, or is the root
  uint32_t first, last;  // of a directory: its slots by sequence
  uint32_t cursor;       // own; of a directory: the slot told last
  uint32_t entries, directories;
  uint32_t shared_next;              // own
  uint32_t passed, cached, writers;  // open handles
  uint32_t pins;                     // own: threads that still need it after they let the lock go
  int32_t backing;                   // the kernel's number for the file that `passed` handles use
  int32_t fd;                        // own; of a file without a name
  uint16_t place_count;
  uint16_t layer;  // of anything but a directory
  uint16_t flags;
  uint16_t state;  // own
};

enum {
  SLOT_HIDDEN = 1,     // nothing to be seen under this name
  SLOT_WHITEOUT = 2,   // and that because the upper directory has a whiteout
  SLOT_COVERS = 4,     // a lower layer shows something under this name: removal needs a whiteout
  SLOT_DEEPER = 8,     // further layers have a directory of this name
  SLOT_DECIDED = 16,   // while merging: deeper layers cannot change anything
};

struct slot {
  uint64_t sequence;
  uint32_t name;  // in the pool
  uint32_t kept;
  uint32_t hash;
  uint32_t parent, node;
  uint32_t hash_next;  // own
  uint32_t previous, next;
  uint32_t next_name;  // of the same node
  uint32_t catalogued;  // its entry in the catalog of the lower layer that it is in; 0: there is none
  uint16_t layer;
  uint8_t length;
  uint8_t flags;
  uint8_t directory;
};

struct handle {
  uint32_t node;
  int32_t fd;      // own; -1: the kernel itself reads and writes, or nobody has yet
  uint16_t layer;  // own: of `fd`
  uint8_t writes, passed, used;
};

// Entries of one size. The first word of a free one is the next free one.
struct table {
  uint64_t start;  // in the state
  uint32_t size, most, count, free, kept;
};

enum { NODES, SLOTS, HANDLES, FIRST_POOL, TABLES = FIRST_POOL + POOLS };

struct reply {
  uint32_t size;
  uint8_t bytes[LARGEST_REPLY];
};

// The beginning of the state. `mark` is the change's number, in the high half, and how many bytes of undo log there are: one word, so that a change ends at
// one moment.
struct state {
  uint64_t magic, size;
  _Atomic uint64_t mark;
  _Atomic uint64_t temporary;
  _Atomic uint32_t torn;   // the log of the change under way was too long: what it has done cannot be undone
  uint32_t negotiated, passthrough, passing, generation, layers;
  // Of each layer the sum of its catalog; 0: it has none. A listing that is given again must be made from the same.
  uint64_t catalogs[MOST_LAYERS];
  struct reply replies[2];  // of the change that ended last, by its number; size 0: none
  // The change under way is the request that was read; a successor carries it out. `begun`: something on disk may have happened.
  _Atomic uint32_t change_size, begun;
  uint32_t change_of;  // the change's number
  uint64_t moved;  // inode of what is being renamed
  _Alignas(8) uint8_t change[LARGEST_CHANGE];
  struct table tables[TABLES];
  // What the kernel has given last, or its beginning: one thread reads at a time. Nobody sends a FORGET again that was read, and not begun. Length 0: there is none.
  _Alignas(8) uint8_t incoming[LARGEST_FORGET];
};

struct open_directory {
  uint64_t used, pinned;  // time and operation
  uint32_t node;
  int fd;
  uint16_t layer;
};

struct layer {
  int fd;
  uint64_t mark;  // of the file system, in the high byte of an inode's number
  int fetched;    // what is read of it may have to come over a network: never waited for with the lock held
  struct catalog catalog;
};

struct cunion {
  pthread_mutex_t lock, lead;
  pthread_cond_t idle;  // a NODE_BUSY went away
  struct state *state;
  int state_file;
  int logs;      // somebody may go on after this process
  int recovers;  // somebody went before it
  int is_open;   // the descriptors in the tables are ours
  uint32_t *names, *shared;
  uint32_t name_mask, name_count;
  struct open_directory open[OPEN_DIRECTORIES];
  uint32_t open_count, open_most;  // `open_most`: how many may be open
  uint32_t held, held_most;        // descriptors of files without a name
  uint64_t operation, clock, let_go;  // `let_go`: how often the lock was
  struct layer *layers;
  uint32_t layer_count;
  int work, parent_of_work, whiteouts;  // `whiteouts`: there is one to link to
  const char *opaque, *prefix;
  int passthrough, passing;
};

// A thread that serves.
struct worker {
  cunion *tree;
  const struct fuse_in_header *request;
  uint8_t *in, *out;
  const struct cunion_way *way;  // NULL: the raw device
  void *context;
  int device, leads, locked;
  int is_incoming;  // what it has read is in `incoming` too
  int again;  // a predecessor may have carried the request out, in whole or in part
  unsigned copied, depth;
  uid_t user;
  gid_t group;
  mode_t mask;
};

// state.c
int state_open(cunion *, int file);
void state_close(cunion *);
void *entry_at(cunion *, int table, uint32_t place);
uint32_t entry_take(cunion *, int table);
void entry_give(cunion *, int table, uint32_t place);
uint32_t pool_new(cunion *, const void *bytes, size_t size);
void *pool_at(cunion *, uint32_t piece);
void pool_free(cunion *, uint32_t piece);
void keep(cunion *, const void *start, size_t size);
void change_ends(cunion *, const void *reply, size_t size);
void change_undo(cunion *);
uint32_t change_number(const cunion *);

// table.c
const struct node *node_at(cunion *, uint64_t number);
struct node *node_edit(cunion *, uint64_t number);
struct node *node_own(cunion *, uint64_t number);
const struct slot *slot_at(cunion *, uint32_t place);
struct slot *slot_edit(cunion *, uint32_t place);
const struct handle *handle_at(cunion *, uint64_t number);
struct handle *handle_own(cunion *, uint64_t number);
const char *name_of(cunion *, const struct slot *);
struct place *places_of(cunion *, const struct node *);
int tables_open(cunion *);
void tables_restore(cunion *);
void tables_close(cunion *);
uint32_t node_new(cunion *, uint32_t type, uint16_t layer, uint64_t ino);
void node_release(cunion *, uint32_t number);
uint32_t handle_new(cunion *);
void handle_free(cunion *, uint32_t);
uint32_t slot_find(cunion *, uint32_t parent, const char *name, size_t length);
uint32_t slot_new(cunion *, uint32_t parent, const char *name, size_t length);
void slot_free(cunion *, uint32_t place);
void slots_free(cunion *, uint32_t directory);
void slot_show(cunion *, uint32_t place, uint32_t node, uint16_t layer, int directory);
uint32_t slot_hide(cunion *, uint32_t place);
void share(cunion *, uint32_t number, uint64_t upper_ino);
uint32_t shared_find(cunion *, uint64_t upper_ino);

// layer.c
int layer_directory(cunion *, uint32_t node, uint16_t layer);
int layer_reach(cunion *, uint32_t node, uint16_t layer);
void layer_forget(cunion *, const struct node *);
int place_of(cunion *, const struct node *, uint16_t layer);
const struct catalog_entry *catalogued(const cunion *, const struct slot *);
const struct catalog_entry *node_catalogued(cunion *, const struct node *);
int node_ask(cunion *, uint32_t number, struct stat *);
int node_stat(cunion *, uint32_t number, struct stat *);
int node_open(cunion *, uint32_t number, int flags);
void node_let_go(cunion *, uint32_t number);
int node_path(cunion *, uint32_t number, char path[static 320]);
int is_opaque(cunion *, int directory);
int set_opaque(cunion *, int directory);
uint64_t ino_of(const cunion *, uint16_t layer, uint64_t ino);
uint16_t layer_of(const struct node *);
void temporary_name(cunion *, char name[static 24]);
int remove_tree(int directory, const char *name);

// merge.c
int directory_load(cunion *, uint32_t number);
int slot_resolve(cunion *, uint32_t place, struct stat *known);
int lookup(cunion *, uint32_t parent, const char *name, size_t length, uint32_t *found, struct stat *known);

// copyup.c
int copy_up(struct worker *, uint32_t number, int without_data);
int copy_up_tree(struct worker *, uint32_t number);
int upper_directory(struct worker *, uint32_t number);
void wait_idle(struct worker *, uint32_t number);

// park.c
int hold(cunion *, uint32_t number, uint32_t place, int is_gone);
void unhold(cunion *, uint32_t number);
void park_nameless(cunion *, uint32_t number);
void park_name(uint32_t number, char name[static 24]);
int unpark(cunion *, uint32_t number);

// whiteout.c
int is_whiteout_at(int directory, const char *name);
int whiteout(struct worker *, int directory, const char *name, int over);
int clear_whiteouts(struct worker *, uint32_t number);

// credentials.c
void become(struct worker *, uid_t user, gid_t group);
void become_caller(struct worker *, mode_t mask);

// attributes.c
void fill_attributes(cunion *, uint32_t number, const struct stat *, struct fuse_attr *);
int fill_entry(cunion *, uint32_t number, const struct stat *known, struct fuse_entry_out *);
int clear_privileges(int fd);

// recover.c
int recover_tables(cunion *);

// serve.c
void lock(struct worker *);
void unlock(struct worker *);
void pause_change(struct worker *);
void begin_change(struct worker *);
void begin(struct worker *);
void handle_request(struct worker *, const struct fuse_in_header *, size_t length);
void stop_leading(struct worker *);
void fail(struct worker *, int error);
void answer(struct worker *, const void *bytes, size_t count);
void answer_two(struct worker *, const void *first, size_t first_size, const void *second, size_t second_size);
void forget_attributes(struct worker *, uint64_t number);
int store(struct worker *, uint64_t number, const void *bytes, size_t count);

// The requests, each with the bytes that follow the header.
typedef void handler(struct worker *, const void *body, size_t size);
handler do_lookup, do_getattr, do_setattr, do_readlink, do_symlink, do_mknod, do_mkdir, do_unlink, do_rmdir, do_rename, do_rename2, do_link, do_open, do_read,
    do_write, do_statfs, do_release, do_fsync, do_setxattr, do_getxattr, do_listxattr, do_removexattr, do_fsyncdir, do_create, do_fallocate, do_readdir,
    do_lseek, do_copy_file_range, do_syncfs, do_tmpfile;
