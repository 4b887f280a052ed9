// Tables of nodes, slots and handles: an entry may be kept by address while the lock is held, and by index always.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "union.h"

#define SHARED_BUCKETS (1u << 12)

int tables_open(cunion *tree) {
  tree->name_mask = (1u << 14) - 1;
  tree->names = calloc((size_t)tree->name_mask + 1, sizeof *tree->names);
  tree->shared = calloc(SHARED_BUCKETS, sizeof *tree->shared);
  return tree->names && tree->shared ? 0 : ENOMEM;
}

void tables_close(cunion *tree) {
  if (tree->is_open) {
    for (uint32_t i = 1; i < tree->state->tables[NODES].count; i++) {
      struct node *node = entry_at(tree, NODES, i);
      if (!(node->flags & NODE_USED)) continue;
      if (tree->work >= 0) unpark(tree, i);
      if (node->fd >= 0) close(node->fd);
    }
    for (uint32_t i = 1; i < tree->state->tables[HANDLES].count; i++) {
      struct handle *handle = entry_at(tree, HANDLES, i);
      if (handle->used && handle->fd >= 0) close(handle->fd);
    }
  }
  free(tree->names);
  free(tree->shared);
}

static void add_name(cunion *tree, uint32_t place) {
  struct slot *slot = entry_at(tree, SLOTS, place);
  uint32_t *bucket = &tree->names[slot->hash & tree->name_mask];
  slot->hash_next = *bucket;
  *bucket = place;
  tree->name_count++;
}

static void add_shared(cunion *tree, uint32_t number) {
  struct node *node = node_own(tree, number);
  uint32_t *bucket = &tree->shared[node->upper_ino & (SHARED_BUCKETS - 1)];
  node->shared_next = *bucket;
  *bucket = number;
}

static void grow_names(cunion *tree);

// What is a process's own, after a predecessor.
void tables_restore(cunion *tree) {
  for (uint32_t i = 1; i < tree->state->tables[NODES].count; i++) {
    struct node *node = node_own(tree, i);
    if (!node) continue;
    node->fd = -1;
    node->cursor = node->pins = node->state = 0;
    struct place *places = places_of(tree, node);
    for (int k = 0; k < node->place_count; k++) {
      places[k].open = -1;
      if (!tree->layers[places[k].layer].catalog.head) places[k].catalogued = 0;
    }
    if (node->flags & NODE_SHARED) add_shared(tree, i);
  }
  for (uint32_t i = 1; i < tree->state->tables[SLOTS].count; i++) {
    struct slot *slot = entry_at(tree, SLOTS, i);
    if (!slot->parent) continue;
    if (!tree->layers[slot->layer].catalog.head) slot->catalogued = 0;
    if (tree->name_count > tree->name_mask) grow_names(tree);
    add_name(tree, i);
  }
  for (uint32_t i = 1; i < tree->state->tables[HANDLES].count; i++) {
    struct handle *handle = handle_own(tree, i);
    if (handle) handle->fd = -1;
  }
}

struct node *node_own(cunion *tree, uint64_t number) {
  if (number == 0 || number >= tree->state->tables[NODES].count) return NULL;
  struct node *node = entry_at(tree, NODES, (uint32_t)number);
  return node->flags & NODE_USED ? node : NULL;
}

const struct node *node_at(cunion *tree, uint64_t number) { return node_own(tree, number); }

struct node *node_edit(cunion *tree, uint64_t number) {
  struct node *node = node_own(tree, number);
  uint32_t change = change_number(tree) + 1;
  if (node && node->kept != change) {
    keep(tree, node, sizeof *node);
    node->kept = change;
  }
  return node;
}

const struct slot *slot_at(cunion *tree, uint32_t place) { return entry_at(tree, SLOTS, place); }

struct slot *slot_edit(cunion *tree, uint32_t place) {
  struct slot *slot = entry_at(tree, SLOTS, place);
  uint32_t change = change_number(tree) + 1;
  if (slot->kept != change) {
    keep(tree, slot, sizeof *slot);
    slot->kept = change;
  }
  return slot;
}

const char *name_of(cunion *tree, const struct slot *slot) { return pool_at(tree, slot->name); }

struct place *places_of(cunion *tree, const struct node *node) { return node->places ? pool_at(tree, node->places) : NULL; }

struct handle *handle_own(cunion *tree, uint64_t number) {
  if (number == 0 || number >= tree->state->tables[HANDLES].count) return NULL;
  struct handle *handle = entry_at(tree, HANDLES, (uint32_t)number);
  return handle->used ? handle : NULL;
}

const struct handle *handle_at(cunion *tree, uint64_t number) { return handle_own(tree, number); }

uint32_t handle_new(cunion *tree) {
  uint32_t place = entry_take(tree, HANDLES);
  if (place) *(struct handle *)entry_at(tree, HANDLES, place) = (struct handle){.fd = -1, .used = 1};
  return place;
}

void handle_free(cunion *tree, uint32_t place) { entry_give(tree, HANDLES, place); }

uint32_t node_new(cunion *tree, uint32_t type, uint16_t layer, uint64_t ino) {
  uint32_t place = entry_take(tree, NODES);
  if (!place) return 0;
  // A generation only has to differ from what stood at this place before. What is undone and carried out again must give the same: the kernel may have it.
  keep(tree, &tree->state->generation, sizeof tree->state->generation);
  *(struct node *)entry_at(tree, NODES, place) = (struct node){
      .ino = ino, .type = type & S_IFMT, .layer = layer, .fd = -1, .flags = NODE_USED, .next_sequence = 3, .generation = ++tree->state->generation,
      .kept = change_number(tree) + 1};
  return place;
}

static void unshare_node(cunion *tree, uint32_t number) {
  struct node *node = node_edit(tree, number);
  if (!(node->flags & NODE_SHARED)) return;
  uint32_t *link = &tree->shared[node->upper_ino & (SHARED_BUCKETS - 1)];
  while (*link != number) link = &node_own(tree, *link)->shared_next;
  *link = node->shared_next;
  node->flags &= ~NODE_SHARED;
}

// Frees a node that has no name, that the kernel has forgotten and that nobody has open.
void node_release(cunion *tree, uint32_t number) {
  const struct node *node = node_at(tree, number);
  if (number == ROOT || node->name || node->lookups || node->passed || node->cached || node->pins || node->state & NODE_BUSY) return;
  unshare_node(tree, number);
  slots_free(tree, number);
  layer_forget(tree, node);
  node_let_go(tree, number);
  pool_free(tree, node->places);
  pool_free(tree, node->lower_path);
  entry_give(tree, NODES, number);
}

// A file of the upper layer with several names: whoever meets another of them must find this node.
void share(cunion *tree, uint32_t number, uint64_t upper_ino) {
  if (node_at(tree, number)->flags & NODE_SHARED) return;
  struct node *node = node_edit(tree, number);
  node->upper_ino = upper_ino;
  node->flags |= NODE_SHARED;
  add_shared(tree, number);
}

uint32_t shared_find(cunion *tree, uint64_t upper_ino) {
  uint32_t number = tree->shared[upper_ino & (SHARED_BUCKETS - 1)];
  while (number && node_at(tree, number)->upper_ino != upper_ino) number = node_at(tree, number)->shared_next;
  return number;
}

static uint32_t hash_of(uint32_t parent, const char *name, size_t length) {
  uint64_t hash = 14695981039346656037ull ^ parent * 0x9e3779b97f4a7c15ull;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)name[i]) * 1099511628211ull;
  return (uint32_t)(hash ^ hash >> 32);
}

uint32_t slot_find(cunion *tree, uint32_t parent, const char *name, size_t length) {
  uint32_t hash = hash_of(parent, name, length);
  for (uint32_t place = tree->names[hash & tree->name_mask]; place;) {
    const struct slot *slot = slot_at(tree, place);
    if (slot->hash == hash && slot->parent == parent && slot->length == length && memcmp(name_of(tree, slot), name, length) == 0) return place;
    place = slot->hash_next;
  }
  return 0;
}

static void grow_names(cunion *tree) {
  uint32_t mask = tree->name_mask * 2 + 1;
  uint32_t *names = calloc((size_t)mask + 1, sizeof *names);
  if (!names) return;  // only slower
  for (uint32_t i = 0; i <= tree->name_mask; i++)
    for (uint32_t place = tree->names[i]; place;) {
      struct slot *slot = entry_at(tree, SLOTS, place);
      uint32_t next = slot->hash_next;
      slot->hash_next = names[slot->hash & mask];
      names[slot->hash & mask] = place;
      place = next;
    }
  free(tree->names);
  tree->names = names;
  tree->name_mask = mask;
}

uint32_t slot_new(cunion *tree, uint32_t parent, const char *name, size_t length) {
  if (tree->name_count > tree->name_mask) grow_names(tree);
  char text[256];
  memcpy(text, name, length);
  text[length] = 0;
  uint32_t piece = pool_new(tree, text, length + 1), place = piece ? entry_take(tree, SLOTS) : 0;
  if (!place) {
    pool_free(tree, piece);
    return 0;
  }
  struct slot *slot = entry_at(tree, SLOTS, place);
  struct node *directory = node_edit(tree, parent);
  *slot = (struct slot){.name = piece, .length = (uint8_t)length, .parent = parent, .hash = hash_of(parent, name, length), .flags = SLOT_HIDDEN,
                        .kept = change_number(tree) + 1};
  slot->sequence = directory->next_sequence++;
  slot->previous = directory->last;
  if (directory->last)
    slot_edit(tree, directory->last)->next = place;
  else
    directory->first = place;
  directory->last = place;
  add_name(tree, place);
  return place;
}

// Puts a file under a name.
void slot_show(cunion *tree, uint32_t place, uint32_t number, uint16_t layer, int is_directory) {
  struct slot *slot = slot_edit(tree, place);
  struct node *directory = node_edit(tree, slot->parent);
  if (slot->flags & SLOT_HIDDEN) {
    directory->entries++;
    directory->directories += is_directory;
  } else {
    directory->directories += is_directory - slot->directory;
  }
  slot->flags &= ~(SLOT_HIDDEN | SLOT_WHITEOUT);
  slot->layer = layer;
  if (layer == UPPER) slot->catalogued = 0;
  slot->directory = (uint8_t)is_directory;
  slot->node = number;
  if (number) {
    struct node *node = node_edit(tree, number);
    slot->next_name = node->name;
    node->name = place;
  }
}

// Takes the file away from a name, which stays. The node may now be without a name: whoever calls this must release it.
uint32_t slot_hide(cunion *tree, uint32_t place) {
  struct slot *slot = slot_edit(tree, place);
  struct node *directory = node_edit(tree, slot->parent);
  uint32_t number = slot->node;
  if (!(slot->flags & SLOT_HIDDEN)) {
    directory->entries--;
    directory->directories -= slot->directory;
  }
  if (number) {
    uint32_t *link = &node_edit(tree, number)->name;
    while (*link != place) link = &slot_edit(tree, *link)->next_name;
    *link = slot->next_name;
  }
  slot->next_name = slot->node = 0;
  slot->directory = 0;
  slot->flags = (slot->flags | SLOT_HIDDEN) & ~SLOT_DEEPER;
  return number;
}

void slot_free(cunion *tree, uint32_t place) {
  const struct slot *slot = slot_at(tree, place);
  struct node *directory = node_edit(tree, slot->parent);
  if (directory->cursor == place) directory->cursor = slot->previous;
  if (slot->previous)
    slot_edit(tree, slot->previous)->next = slot->next;
  else
    directory->first = slot->next;
  if (slot->next)
    slot_edit(tree, slot->next)->previous = slot->previous;
  else
    directory->last = slot->previous;
  uint32_t *link = &tree->names[slot->hash & tree->name_mask];
  while (*link != place) link = &((struct slot *)entry_at(tree, SLOTS, *link))->hash_next;
  *link = slot->hash_next;
  pool_free(tree, slot->name);
  entry_give(tree, SLOTS, place);
  tree->name_count--;
}

void slots_free(cunion *tree, uint32_t number) {
  const struct node *directory = node_at(tree, number);
  while (directory->first) {
    uint32_t place = directory->first, child = slot_hide(tree, place);
    slot_free(tree, place);
    if (child) node_release(tree, child);
  }
}
