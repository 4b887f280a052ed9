#include <errno.h>
#include <sys/stat.h>

#include "internal.h"

// Small files are given to the kernel before it asks: a request costs more than the bytes. Whoever reads one file of a directory will read the others, and
// then those of the next directory that is listed: so it is with searches, and with programs that load modules.
//
// A directory's number in `ahead` is the place of the name that is next, and two bits: whether somebody is going to push, and whether it is to be given
// away as it is listed.
#define QUEUED (1u << 31)
#define LISTED (1u << 30)
#define FLAGS (QUEUED | LISTED)
// How many directories are pushed as they are listed, without that one of their files had to be asked for.
#define CREDIT 16
// Bytes given at a time, at most.
#define MOST (4u << 20)
// Names one after another that the kernel does not know: then it has not listed the rest yet.
#define UNKNOWN_MOST 8

static uint32_t *credit_of(const cfuse_service *service) { return &service->ahead[service->tree->node_count]; }

static void ask(const cfuse_service *service, int device, uint32_t directory) {
  const cfuse_node *node = &service->tree->nodes[directory];
  uint32_t known = __atomic_load_n(&service->ahead[directory], __ATOMIC_RELAXED);
  if (!S_ISDIR(node->mode) || known & QUEUED || (known & ~FLAGS) >= node->count) return;
  if (__atomic_fetch_or(&service->ahead[directory], QUEUED, __ATOMIC_RELAXED) & QUEUED) return;
  service->push(service->context, device, directory);
}

void cfuse_listing(const cfuse_service *service, int device, uint32_t directory, uint64_t offset) {
  if (!service->ahead || !service->push) return;
  uint32_t known = __atomic_load_n(&service->ahead[directory], __ATOMIC_RELAXED);
  if (offset == 0) {
    uint32_t credit = __atomic_load_n(credit_of(service), __ATOMIC_RELAXED);
    if (credit == 0 || known & LISTED || (known & ~FLAGS) >= service->tree->nodes[directory].count) return;
    __atomic_store_n(credit_of(service), credit - 1, __ATOMIC_RELAXED);
    __atomic_fetch_or(&service->ahead[directory], LISTED, __ATOMIC_RELAXED);
  } else if (known & LISTED) {
    // Whoever asks for more has taken in what came before: now the kernel knows those names.
    ask(service, device, directory);
  }
}

void cfuse_notice(const cfuse_service *service, int device, uint32_t node) {
  if (!service->ahead || !service->push || !service->tree->contents || service->tree->nodes[node].size > CFUSE_SMALL) return;
  uint32_t directory = service->tree->contents[node].directory;
  if (directory >= service->tree->node_count) return;
  __atomic_store_n(credit_of(service), CREDIT, __ATOMIC_RELAXED);
  ask(service, device, directory);
}

uint32_t cfuse_push_directory(const cfuse_service *service, int device, uint32_t directory, uint8_t *buffer) {
  const cfuse_tree *tree = service->tree;
  const cfuse_node *parent = &tree->nodes[directory];
  uint32_t next = __atomic_fetch_and(&service->ahead[directory], ~QUEUED, __ATOMIC_RELAXED) & ~FLAGS;
  uint32_t given = 0, unknown = 0, first_unknown = 0;
  uint64_t bytes = 0;
  // A file that is read from here on asks anew.
  for (; next < parent->count && bytes < MOST; next++) {
    uint32_t place = tree->names[parent->first + next].node;
    const cfuse_node *node = &tree->nodes[place];
    if (!S_ISREG(node->mode) || node->size == 0 || node->size > CFUSE_SMALL || tree->contents[place].directory != directory) continue;
    if (!cfuse_read_present(service, place, 0, (uint32_t)node->size, buffer)) break;
    int error = cfuse_push(device, place, 0, buffer, node->size);
    if (error == ENOENT) {
      if (unknown++ == 0) first_unknown = next;
      if (unknown == UNKNOWN_MOST) break;
    } else if (error != 0) {
      break;
    } else {
      given++;
      bytes += node->size;
      unknown = 0;
    }
  }
  if (unknown > 0) next = first_unknown;
  uint32_t seen = __atomic_load_n(&service->ahead[directory], __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&service->ahead[directory], &seen, next | (seen & FLAGS), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) continue;
  return given;
}
