// Reading directories. A name's position is its sequence, which never changes: what is created or removed meanwhile moves no other name, so a reader meets each
// name that stays exactly once, and may go back to any position.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "union.h"

// Of more names a directory is not made ready before it is asked for.
#define MOST_AHEAD 512

struct listing {
  uint8_t *bytes;
  size_t used, room;
  int plus;
};

// Where the next name goes, or NULL when it does not fit.
static struct fuse_dirent *append(struct listing *list, const char *name, size_t length, uint64_t position, uint64_t ino, uint32_t type) {
  size_t head = list->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
  size_t whole = FUSE_DIRENT_ALIGN(head + length);
  if (whole > list->room - list->used) return NULL;
  uint8_t *start = list->bytes + list->used;
  memset(start, 0, whole);
  struct fuse_dirent *entry = (struct fuse_dirent *)(start + (list->plus ? offsetof(struct fuse_direntplus, dirent) : 0));
  entry->ino = ino;
  entry->off = position;
  entry->namelen = (uint32_t)length;
  entry->type = type >> 12;
  memcpy(entry->name, name, length);
  list->used += whole;
  return entry;
}

static int append_slot(cunion *tree, struct listing *list, uint32_t place) {
  const struct slot *slot = slot_at(tree, place);
  struct stat known;
  size_t whole = FUSE_DIRENT_ALIGN((list->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET) + slot->length);
  if (whole > list->room - list->used) return 0;
  tree->operation++;
  int error = slot_resolve(tree, place, &known);
  if (error) {
    // Somebody has taken it away below. Anything else passes: the name stays, or the kernel would remember a listing without it.
    if (error != ENOENT) append(list, name_of(tree, slot), slot->length, slot->sequence, slot->sequence, 0);
    return 1;
  }
  const struct node *node = node_at(tree, slot->node);
  struct fuse_direntplus *both = (struct fuse_direntplus *)(list->bytes + list->used);
  append(list, name_of(tree, slot), slot->length, slot->sequence, node->ino, node->type);
  // A node 0 says: the name alone.
  if (list->plus && fill_entry(tree, slot->node, &known, &both->entry_out)) memset(&both->entry_out, 0, sizeof both->entry_out);
  return 1;
}

// The directory that who walks through everything comes to behind this one: the first in it, or the next beside it, or beside what it is in. 0: it is not near.
static uint32_t next_directory(cunion *tree, uint32_t number) {
  const struct node *node = node_at(tree, number);
  uint32_t place = node->first;
  for (int steps = 0; steps < 64; steps++) {
    if (!place) {
      if (number == ROOT || !node->name) return 0;
      place = slot_at(tree, node->name)->next;
      number = slot_at(tree, node->name)->parent;
      node = node_at(tree, number);
      continue;
    }
    const struct slot *slot = slot_at(tree, place);
    if (slot->directory && !(slot->flags & SLOT_HIDDEN)) return slot->node;
    place = slot->next;
  }
  return 0;
}

// While who has been answered makes inodes, the next directory is made ready, if catalogs tell all of it: that is a matter of microseconds.
static void make_next_ready(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  uint32_t next = next_directory(tree, number), names = 0;
  const struct node *node = next ? node_at(tree, next) : NULL;
  if (!node || node->flags & (NODE_LOADED | NODE_DEAD)) return;
  const struct place *places = places_of(tree, node);
  for (int i = 0; i < node->place_count; i++) {
    if (!places[i].catalogued) return;
    names += tree->layers[places[i].layer].catalog.directories[places[i].catalogued - 1].count;
  }
  if (names > MOST_AHEAD) return;
  // What was answered is done.
  pause_change(worker);
  if (directory_load(tree, next)) return;
  struct stat known;
  for (uint32_t place = node->first; place; place = slot_at(tree, place)->next)
    if (!(slot_at(tree, place)->flags & SLOT_HIDDEN)) slot_resolve(tree, place, &known);
}

void do_readdir(struct worker *worker, const void *body, size_t size) {
  const struct fuse_read_in *in = body;
  cunion *tree = worker->tree;
  uint32_t number = (uint32_t)worker->request->nodeid;
  struct node *node = node_own(tree, number);
  if (size < sizeof *in) return fail(worker, EINVAL);
  if (node->flags & NODE_DEAD) return answer(worker, NULL, 0);
  int error = directory_load(tree, number);
  if (error) return fail(worker, error);
  // That stands by itself. Undone with an answer that the kernel has, a successor might come to the names in another order, and number other files the same.
  pause_change(worker);
  begin_change(worker);
  struct listing list = {worker->out, 0, in->size < LARGEST_WRITE ? in->size : LARGEST_WRITE, worker->request->opcode == FUSE_READDIRPLUS};
  uint64_t offset = in->offset;
  if (offset == 0 && append(&list, ".", 1, 1, node->ino, S_IFDIR)) offset = 1;
  if (offset == 1) {
    uint32_t parent = node->name ? slot_at(tree, node->name)->parent : number;
    if (append(&list, "..", 2, 2, node_at(tree, parent)->ino, S_IFDIR)) offset = 2;
  }
  uint32_t place = node->cursor && slot_at(tree, node->cursor)->sequence <= offset ? node->cursor : node->first;
  while (place && slot_at(tree, place)->sequence <= offset) place = slot_at(tree, place)->next;
  for (; place && offset >= 2; place = slot_at(tree, place)->next) {
    if (slot_at(tree, place)->flags & SLOT_HIDDEN) continue;
    if (!append_slot(tree, &list, place)) break;
    node->cursor = place;
  }
  answer(worker, list.bytes, list.used);
  if (list.used && list.plus) make_next_ready(worker, number);
}

void do_fsyncdir(struct worker *worker, const void *body, size_t size) { do_syncfs(worker, body, size); }
