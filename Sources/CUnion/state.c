// The memory that outlives the process: a file without a name (memfd_create(2)), held by whoever starts successors too.
//
// What a killed process leaves must be a tree as it was between two changes. So the old bytes of everything that is changed are written down first (an undo
// log), and a change ends by one store, which drops them. The answer to the request is stored by then, and given afterwards: a successor gives it again, to
// nobody if it was given, and the kernel never has an answer to what was undone. What happened on disk is not undone: a successor carries the change out
// once more, and each step knows when it has been done already.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "union.h"

#define MAGIC 0x31756e696f6e0003ull
#define LOG_START (128ull << 10)
#define LOG_SIZE (1ull << 30)
#define LOG_KEPT (1ull << 20)  // what is used beyond is given back to the system
#define HALF 32
#define LOW 0xffffffffull

struct record {
  uint64_t start;
  uint64_t size;  // of the bytes that follow, filled up to eights
};

_Static_assert(sizeof(struct state) <= LOG_START, "the log begins behind the state");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "locks do not outlive a process");

static const uint32_t pool_sizes[POOLS] = {16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

static uint64_t lay_out(struct table tables[TABLES]) {
  uint64_t start = LOG_START + LOG_SIZE;
  for (int i = 0; i < TABLES; i++) {
    uint32_t size = i == NODES ? sizeof(struct node) : i == SLOTS ? sizeof(struct slot) : i == HANDLES ? sizeof(struct handle) : pool_sizes[i - FIRST_POOL];
    uint64_t most = i == NODES || i == SLOTS ? 1u << 26 : i == HANDLES ? 1u << 22 : (4ull << 30) / size;
    // A piece of the pool is told by 28 bits.
    if (most > 1u << 28) most = 1u << 28;
    tables[i] = (struct table){.start = start, .size = size, .most = (uint32_t)most, .count = 1};
    start += (most * size + 4095) & ~4095ull;
  }
  return start;
}

int cunion_state(void) { return memfd_create("union", MFD_CLOEXEC); }

// 0, or an errno: EPROTO is the state of another version of this program.
int state_open(cunion *tree, int file) {
  struct table tables[TABLES];
  uint64_t size = lay_out(tables);
  tree->logs = file >= 0;
  tree->state_file = file >= 0 ? fcntl(file, F_DUPFD_CLOEXEC, 0) : memfd_create("union", MFD_CLOEXEC);
  if (tree->state_file < 0 || ftruncate(tree->state_file, (off_t)size) < 0) return errno;
  void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, tree->state_file, 0);
  if (start == MAP_FAILED) return errno;
  madvise(start, size, MADV_DONTDUMP);
  tree->state = start;
  // Without layers a predecessor was killed before it had a root: whatever it has left, nobody has seen.
  if (tree->state->magic && tree->state->layers) return tree->state->magic == MAGIC + sizeof(struct node) && tree->state->size == size ? 0 : EPROTO;
  tree->state->size = size;
  atomic_store(&tree->state->mark, 0);
  atomic_store(&tree->state->torn, 0);
  memcpy(tree->state->tables, tables, sizeof tables);
  tree->state->magic = MAGIC + sizeof(struct node);
  return 0;
}

void state_close(cunion *tree) {
  if (tree->state) munmap(tree->state, tree->state->size);
  if (tree->state_file >= 0) close(tree->state_file);
}

uint32_t change_number(const cunion *tree) { return (uint32_t)(atomic_load_explicit(&tree->state->mark, memory_order_relaxed) >> HALF); }

// Writes down what is there, before it is changed.
void keep(cunion *tree, const void *start, size_t size) {
  if (!tree->logs) return;
  struct state *state = tree->state;
  uint64_t mark = atomic_load_explicit(&state->mark, memory_order_relaxed), used = mark & LOW;
  size_t whole = sizeof(struct record) + ((size + 7) & ~(size_t)7);
  if (used + whole + sizeof(uint64_t) > LOG_SIZE) {
    atomic_store(&state->torn, 1);
    return;
  }
  uint8_t *at = (uint8_t *)state + LOG_START + used;
  *(struct record *)at = (struct record){.start = (uint64_t)((const uint8_t *)start - (uint8_t *)state), .size = size};
  memcpy(at + sizeof(struct record), start, size);
  // Read backwards: the length stands behind.
  *(uint64_t *)(at + whole) = whole;
  atomic_store_explicit(&state->mark, mark + whole + sizeof(uint64_t), memory_order_release);
}

// The change is whole. `reply`: the answer that is about to be given.
void change_ends(cunion *tree, const void *reply, size_t size) {
  if (!tree->logs) return;
  struct state *state = tree->state;
  uint64_t mark = atomic_load_explicit(&state->mark, memory_order_relaxed), next = (mark >> HALF) + 1;
  if (!(mark & LOW) && !atomic_load_explicit(&state->change_size, memory_order_relaxed)) return;
  struct reply *place = &state->replies[next & 1];
  if (size > sizeof place->bytes) size = 0;
  if (size) memcpy(place->bytes, reply, size);
  place->size = (uint32_t)size;
  atomic_store(&state->mark, next << HALF);
  atomic_store_explicit(&state->change_size, 0, memory_order_release);
  atomic_store_explicit(&state->torn, 0, memory_order_relaxed);
  uint64_t used = mark & LOW;
  if (used > LOG_KEPT) madvise((uint8_t *)state + LOG_START + LOG_KEPT, ((used - LOG_KEPT) + 4095) & ~4095ull, MADV_REMOVE);
}

// Puts everything back to where it was before the change that a predecessor did not end. It may be killed while it does: undoing twice is undoing once.
void change_undo(cunion *tree) {
  struct state *state = tree->state;
  uint64_t mark = atomic_load(&state->mark), used = mark & LOW;
  while (used > 0) {
    uint64_t whole = *(uint64_t *)((uint8_t *)state + LOG_START + used - sizeof whole);
    used -= whole + sizeof whole;
    struct record *record = (struct record *)((uint8_t *)state + LOG_START + used);
    memcpy((uint8_t *)state + record->start, record + 1, record->size);
  }
  // Not the next change's number: the last answer is still that of this one.
  atomic_store(&state->mark, mark & ~LOW);
}

void *entry_at(cunion *tree, int table, uint32_t place) {
  struct table *one = &tree->state->tables[table];
  return (uint8_t *)tree->state + one->start + (uint64_t)place * one->size;
}

static void keep_table(cunion *tree, struct table *table) {
  uint32_t number = change_number(tree) + 1;
  if (table->kept == number) return;
  keep(tree, table, sizeof *table);
  table->kept = number;
}

// Entry 0 is never given out: 0 means none. What is in it is whoever's it was before.
uint32_t entry_take(cunion *tree, int number) {
  struct table *table = &tree->state->tables[number];
  keep_table(tree, table);
  uint32_t place = table->free;
  if (place) {
    void *entry = entry_at(tree, number, place);
    // Freed in this very change: what is put here must not hide what was there before it.
    keep(tree, entry, table->size);
    memcpy(&table->free, entry, sizeof table->free);
    return place;
  }
  return table->count < table->most ? table->count++ : 0;
}

void entry_give(cunion *tree, int number, uint32_t place) {
  struct table *table = &tree->state->tables[number];
  void *entry = entry_at(tree, number, place);
  keep_table(tree, table);
  keep(tree, entry, table->size);
  memset(entry, 0, table->size);
  memcpy(entry, &table->free, sizeof table->free);
  table->free = place;
}

// A piece of memory, filled with these bytes. 0: there is none.
uint32_t pool_new(cunion *tree, const void *bytes, size_t size) {
  uint32_t which = 0;
  while (which < POOLS && pool_sizes[which] < size) which++;
  uint32_t place = which < POOLS ? entry_take(tree, FIRST_POOL + (int)which) : 0;
  if (!place) return 0;
  memcpy(entry_at(tree, FIRST_POOL + (int)which, place), bytes, size);
  return which << 28 | place;
}

void *pool_at(cunion *tree, uint32_t piece) { return entry_at(tree, FIRST_POOL + (int)(piece >> 28), piece & 0xfffffff); }

void pool_free(cunion *tree, uint32_t piece) {
  if (piece) entry_give(tree, FIRST_POOL + (int)(piece >> 28), piece & 0xfffffff);
}
