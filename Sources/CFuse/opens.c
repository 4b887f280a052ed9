#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

// The block that outlives a process: no pointers, and never a moment at which a killed process leaves something a successor misreads.
//
// The kernel refuses (EIO) an open in another mode than those that are there. So a count may be too high, which keeps a file in its mode for longer,
// but never too low: opens are counted before they are answered, releases after. An open that was counted and not answered comes back to the
// successor with its number, which stands beside the count.

#define STATE_VERSION 1

typedef struct inode_state {
  _Atomic uint32_t lock;     // 0, or who: a generation that is gone holds nothing
  _Atomic int32_t backing;   // the kernel's number for the complete file; 0: none
  _Atomic uint64_t uses;
} inode_state;

// `uses`: the mode, whether it stands among the kept, how many opens, and the number of the open counted last.
#define PASSTHROUGH (1ull << 63)
#define KEPT (1ull << 62)
#define COUNT_SHIFT 40
#define COUNT_MOST ((1ull << 22) - 1)
#define NUMBER_MASK ((1ull << COUNT_SHIFT) - 1)

typedef struct mount_state {
  _Atomic uint32_t version;
  _Atomic uint32_t nodes;
  _Atomic uint32_t generation;  // of serving processes, from 0
  _Atomic int32_t off;          // why nothing is passed through any more
  _Atomic int32_t last_failure;
  // Backing files kept after their last open, in the order of that: nodes from 1. Those that are pushed out are closed unless open again.
  _Atomic uint32_t kept_next;
  _Atomic uint32_t kept[CFUSE_KEPT_MOST];
  _Atomic uint64_t opens_cached, opens_passthrough, reads, backings, failures;
  inode_state inodes[];
} mount_state;

_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2, "locks do not outlive a process");

size_t cfuse_state_size(const cfuse_tree *tree) { return sizeof(mount_state) + (size_t)tree->node_count * sizeof(inode_state); }

int cfuse_state_check(void *block, const cfuse_tree *tree) {
  mount_state *state = block;
  uint32_t none = 0;
  atomic_compare_exchange_strong(&state->nodes, &none, tree->node_count);
  none = 0;
  atomic_compare_exchange_strong(&state->version, &none, STATE_VERSION);
  return atomic_load(&state->version) == STATE_VERSION && atomic_load(&state->nodes) == tree->node_count ? 0 : EPROTO;
}

int cfuse_take_over(int device, const cfuse_service *service) {
  mount_state *state = service->state;
  if (state) {
    int error = cfuse_state_check(state, service->tree);
    if (error != 0) return error;
    atomic_fetch_add(&state->generation, 1);
  }
  return cfuse_resend(device);
}

void cfuse_counters_of(const void *block, cfuse_counters *out) {
  const mount_state *state = block;
  *out = (cfuse_counters){
      .opens_cached = atomic_load(&state->opens_cached),
      .opens_passthrough = atomic_load(&state->opens_passthrough),
      .reads = atomic_load(&state->reads),
      .backings = atomic_load(&state->backings),
      .backing_failures = atomic_load(&state->failures),
      .backing_error = atomic_load(&state->last_failure),
      .passthrough_off = atomic_load(&state->off),
  };
}

void cfuse_state_refuse(void *block, int error) {
  int32_t none = 0;
  atomic_compare_exchange_strong(&((mount_state *)block)->off, &none, error);
}

void cfuse_count_read(const cfuse_service *service) {
  if (service->state) atomic_fetch_add_explicit(&((mount_state *)service->state)->reads, 1, memory_order_relaxed);
}

static inode_state *lock(mount_state *state, uint32_t node) {
  inode_state *inode = &state->inodes[node];
  uint32_t mine = atomic_load(&state->generation) + 1;
  for (;;) {
    uint32_t holder = atomic_load(&inode->lock);
    if (holder != mine && atomic_compare_exchange_weak(&inode->lock, &holder, mine)) return inode;
    sched_yield();
  }
}

static void unlock(inode_state *inode) { atomic_store(&inode->lock, 0); }

// Failures that every file of the mount would meet: no right, the bytes lie on a stacked file system, no such ioctl.
static bool is_final(int error) { return error == EPERM || error == ELOOP || error == ENOTTY || error == ENOSYS || error == EOPNOTSUPP; }

static uint64_t count_of(uint64_t uses) { return uses >> COUNT_SHIFT & COUNT_MOST; }

// The kernel's number for a file's complete bytes, or 0.
static int32_t backing_of(int device, const cfuse_service *service, uint32_t node) {
  mount_state *state = service->state;
  if (!service->backing || atomic_load(&state->off) != 0 || service->tree->nodes[node].size == 0) return 0;
  int descriptor = service->backing(service->context, node);
  if (descriptor < 0) return 0;
  struct cfuse_backing_map map = {.descriptor = descriptor};
  int number, error = 0;
  struct stat status;
  // Another size would show through: readers see the backing file, not the tree.
  if (fstat(descriptor, &status) < 0) {
    error = errno;
  } else if ((uint64_t)status.st_size != service->tree->nodes[node].size) {
    error = EBADMSG;
  } else if ((number = ioctl(device, CFUSE_BACKING_OPEN, &map)) <= 0) {
    error = number < 0 ? errno : EPROTO;
  }
  close(descriptor);
  if (error == 0) {
    atomic_fetch_add(&state->backings, 1);
    return number;
  }
  atomic_fetch_add(&state->failures, 1);
  atomic_store(&state->last_failure, error);
  if (is_final(error)) cfuse_state_refuse(state, error);
  return 0;
}

int cfuse_open_node(int device, const cfuse_service *service, uint32_t node, uint64_t number, cfuse_opened *out) {
  mount_state *state = service->state;
  inode_state *inode = lock(state, node);
  uint64_t uses = atomic_load(&inode->uses), mode = uses & PASSTHROUGH, count = count_of(uses);
  bool is_counted = (number & CFUSE_RESENT) && count > 0 && (uses & NUMBER_MASK) == (number & NUMBER_MASK);
  if (!is_counted) {
    if (count == COUNT_MOST) {
      unlock(inode);
      return ENFILE;
    }
    if (count == 0) {
      // One may be there already: kept, or its process was killed before it counted.
      if (atomic_load(&inode->backing) == 0) atomic_store(&inode->backing, backing_of(device, service, node));
      mode = atomic_load(&inode->backing) != 0 ? PASSTHROUGH : 0;
    }
    atomic_store(&inode->uses, mode | (uses & KEPT) | (count + 1) << COUNT_SHIFT | (number & NUMBER_MASK));
    atomic_fetch_add_explicit(mode ? &state->opens_passthrough : &state->opens_cached, 1, memory_order_relaxed);
  }
  *out = (cfuse_opened){.backing = mode ? atomic_load(&inode->backing) : 0};
  out->flags = FOPEN_NOFLUSH | (mode ? CFUSE_OPEN_PASSTHROUGH : FOPEN_KEEP_CACHE);
  unlock(inode);
  return 0;
}

// Forgotten before it is closed: a number that the kernel no longer knows would make opens fail.
static void unlock_and_close(int device, inode_state *inode) {
  uint32_t number = (uint32_t)atomic_exchange(&inode->backing, 0);
  unlock(inode);
  if (number != 0) ioctl(device, CFUSE_BACKING_CLOSE, &number);
}

static void push_out(int device, mount_state *state, uint32_t node) {
  inode_state *inode = lock(state, node);
  uint64_t uses = atomic_load(&inode->uses);
  atomic_store(&inode->uses, uses & ~KEPT);
  if (count_of(uses) == 0)
    unlock_and_close(device, inode);
  else
    unlock(inode);
}

void cfuse_release_node(int device, const cfuse_service *service, uint32_t node) {
  mount_state *state = service->state;
  inode_state *inode = lock(state, node);
  uint64_t uses = atomic_load(&inode->uses);
  uint32_t room = service->kept < CFUSE_KEPT_MOST ? service->kept : CFUSE_KEPT_MOST;
  if (count_of(uses) == 0) return unlock(inode);
  uses -= 1ull << COUNT_SHIFT;
  bool is_unused = count_of(uses) == 0 && (uses & PASSTHROUGH), is_new = is_unused && room > 0 && !(uses & KEPT);
  atomic_store(&inode->uses, is_new ? uses | KEPT : uses);
  if (is_unused && room == 0) return unlock_and_close(device, inode);
  unlock(inode);
  if (!is_new) return;
  uint32_t pushed = atomic_exchange(&state->kept[atomic_fetch_add(&state->kept_next, 1) % room], node + 1);
  if (pushed != 0) push_out(device, state, pushed - 1);
}
