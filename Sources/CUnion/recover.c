// Going on with what a killed server has left: its memory, the kernel's descriptor, and a request that it may have carried out in part.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "union.h"

#define NOTIFY_RESEND 7

static void find_again(cunion *tree, uint32_t number) {
  struct node *node = node_own(tree, number);
  if (number == ROOT || node->name) return;
  char parked[24];
  park_name(number, parked);
  if (node->flags & NODE_PARKED)
    node->fd = openat(tree->work, parked, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  else if (node->lower_path)
    node->fd = openat(tree->layers[node->layer].fd, pool_at(tree, node->lower_path), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  tree->held += node->fd >= 0;
}

// What was being built when the server was killed. What is parked stays, as long as it belongs to a file that the kernel knows.
static int sweep(cunion *tree) {
  int fd = openat(tree->work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd < 0 ? NULL : fdopendir(fd);
  if (!list) {
    if (fd >= 0) close(fd);
    return errno;
  }
  for (struct dirent *entry; (entry = readdir(list));) {
    unsigned number;
    if (entry->d_name[0] == '#') {
      remove_tree(tree->work, entry->d_name);
    } else if (sscanf(entry->d_name, "open-%x", &number) == 1) {
      const struct node *node = node_at(tree, number);
      if (!node || !(node->flags & NODE_PARKED)) unlinkat(tree->work, entry->d_name, 0);
    }
  }
  closedir(list);
  return 0;
}

// Before the layers are looked at: the tree as it was before the change that was not ended. 0 or an errno.
int recover_tables(cunion *tree) {
  struct state *state = tree->state;
  if (atomic_load(&state->torn) || state->layers != tree->layer_count) return EPROTO;
  for (uint32_t i = 0; i < tree->layer_count; i++)
    if (catalog_identity(&tree->layers[i].catalog) != state->catalogs[i]) catalog_close(&tree->layers[i].catalog);
  change_undo(tree);
  tables_restore(tree);
  if (state->negotiated) {
    tree->passthrough = (int)state->passthrough;
    tree->passing = (int)state->passing;
  }
  return 0;
}

// What was being carried out. It is done again, by whom has the same memory, and told the kernel.
static void carry_on(struct worker *worker) {
  struct state *state = worker->tree->state;
  uint32_t size = atomic_load(&state->change_size);
  if (state->change_of != change_number(worker->tree)) size = 0;
  // What was read, and not begun. The kernel sends it again, unless it is one that nobody answers.
  _Atomic uint32_t *length = (_Atomic uint32_t *)(void *)state->incoming;
  uint32_t left = atomic_load(length), opcode = ((const struct fuse_in_header *)state->incoming)->opcode;
  if (left > LARGEST_FORGET || (opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET) || (left == size && memcmp(state->incoming, state->change, size) == 0)) left = 0;
  if (!left) atomic_store(length, 0);
  if (size) {
    memcpy(worker->in, state->change, size);
    worker->again = (int)atomic_load(&state->begun);
    handle_request(worker, (const struct fuse_in_header *)worker->in, size);
    worker->again = 0;
  }
  if (left < sizeof(struct fuse_in_header)) return;
  memcpy(worker->in, state->incoming, left);
  worker->is_incoming = 1;
  handle_request(worker, (const struct fuse_in_header *)worker->in, left);
}

int cunion_take_over(cunion *tree, int device) {
  struct state *state = tree->state;
  struct worker worker = {.tree = tree, .device = device, .user = geteuid(), .group = getegid()};
  if (!tree->recovers) return 0;
  worker.mask = umask(0);
  umask(worker.mask);
  // The kernel has this answer already, or was never given it. ENOENT then.
  const struct reply *last = &state->replies[change_number(tree) & 1];
  if (last->size && write(device, last->bytes, last->size) < 0) errno = 0;
  for (uint32_t i = 1; i < state->tables[NODES].count; i++)
    if (node_at(tree, i)) find_again(tree, i);
  worker.in = malloc(BUFFER);
  worker.out = malloc(BUFFER);
  int error = worker.in && worker.out ? 0 : ENOMEM;
  if (!error) carry_on(&worker);
  become(&worker, geteuid(), getegid());
  umask(worker.mask);
  if (!error) error = sweep(tree);
  free(worker.in);
  free(worker.out);
  if (error) return error;
  struct fuse_out_header head = {.len = sizeof head, .error = NOTIFY_RESEND};
  return write(device, &head, sizeof head) < 0 ? errno : 0;
}
