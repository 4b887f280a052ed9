// Reads that are answered out of archives of which parts are here, against a plain copy of what each file holds. Without a mount.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "CFuse.h"
#include "tap.h"
#include "tests.h"

enum { SPANS = 40, FILES = 300, SIZE = 1 << 16, LONGEST = 6000, PIECES = 6 };

typedef struct layer {
  uint8_t bytes[SIZE];
  uint8_t present[SPANS], touched[SPANS], refused;
  int64_t ends[SPANS * 2];  // every other one is not an end
} layer;

static uint64_t seed = 88172645463325252ull;
static uint32_t chance(uint32_t below) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return (uint32_t)(seed % below);
}

static int compare(const void *left, const void *right) {
  int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return a < b ? -1 : a > b;
}

static int archive_file(const layer *layer, size_t count) {
  int file = memfd_create("archive", MFD_CLOEXEC);
  if (file < 0 || pwrite(file, layer->bytes, count, 0) != (ssize_t)count) die("memfd");
  return file;
}

static void make_layer(layer *layer, cfuse_archive *archive) {
  int64_t ends[SPANS];
  for (int i = 0; i < SIZE; i++) layer->bytes[i] = (uint8_t)(1 + chance(255));
  for (int i = 0; i < SPANS - 1; i++) ends[i] = (1 + i) + chance(SIZE - SPANS);
  qsort(ends, SPANS - 1, sizeof *ends, compare);
  // No span is empty.
  for (int i = 1; i < SPANS - 1; i++) ends[i] = ends[i] > ends[i - 1] ? ends[i] : ends[i - 1] + 1;
  ends[SPANS - 1] = SIZE;
  for (int i = 0; i < SPANS; i++) {
    layer->ends[2 * i] = ends[i];
    layer->present[i] = chance(10) != 0;
  }
  *archive = (cfuse_archive){.file = archive_file(layer, SIZE), .count = SPANS, .present = layer->present, .ends = (const uint8_t *)layer->ends,
      .stride = 2 * sizeof(int64_t), .refused = &layer->refused, .touched = layer->touched};
}

static bool is_here(const layer *layer, int64_t place) {
  int span = 0;
  while (layer->ends[2 * span] <= place) span++;
  return layer->present[span];
}

void test_present(const char *directory) {
  (void)directory;
  static layer layers[2];
  static cfuse_node nodes[FILES];
  static cfuse_contents contents[FILES];
  static cfuse_piece pieces[FILES * PIECES];
  static int64_t places[FILES][LONGEST];  // of each byte in its archive; -1: none
  cfuse_archive archives[2];
  for (int i = 0; i < 2; i++) make_layer(&layers[i], &archives[i]);
  uint32_t used = 0;
  for (int f = 0; f < FILES; f++) {
    nodes[f].size = 1 + chance(LONGEST - 1);
    contents[f] = (cfuse_contents){.layer = chance(2), .first = used};
    memset(places[f], 0xff, sizeof places[f]);
    for (int64_t at = chance(3) ? 0 : chance(1000); at < (int64_t)nodes[f].size && contents[f].count < PIECES; at += chance(800)) {
      int64_t count = 1 + chance((uint32_t)(nodes[f].size - (uint64_t)at)), place = chance((uint32_t)(SIZE - count));
      pieces[used++] = (cfuse_piece){.offset = at, .place = place, .count = count};
      contents[f].count++;
      for (int64_t i = 0; i < count; i++) places[f][at + i] = place + i;
      at += count;
    }
  }
  cfuse_tree tree = {.nodes = nodes, .contents = contents, .pieces = pieces, .node_count = FILES, .piece_count = used};
  cfuse_service service = {.tree = &tree, .archives = archives, .archive_count = 2};
  uint64_t right = 0, wrong = 0, answers = 0;
  for (int i = 0; i < 200000; i++) {
    uint32_t f = chance(FILES);
    uint64_t offset = chance((uint32_t)nodes[f].size);
    uint32_t count = 1 + chance((uint32_t)(nodes[f].size - offset));
    uint8_t got[LONGEST + 1];
    memset(got, 0xee, sizeof got);
    bool whole = true, same = true, answer = cfuse_read_present(&service, f, offset, count, got);
    const layer *from = &layers[contents[f].layer];
    for (uint32_t k = 0; k < count; k++) {
      int64_t place = places[f][offset + k];
      if (place >= 0 && !is_here(from, place)) whole = false;
      if (got[k] != (place < 0 ? 0 : from->bytes[place])) same = false;
    }
    answers += answer;
    *(answer == whole && (!answer || (same && got[count] == 0xee)) ? &right : &wrong) += 1;
  }
  ok(wrong == 0 && answers > 50000 && answers < 190000, "%llu reads are answered as a plain copy says, %llu of them here", (unsigned long long)right,
     (unsigned long long)answers);

  uint8_t byte;
  for (int i = 0; i < 2; i++) memset(layers[i].present, 1, SPANS);
  uint32_t f = 0;
  while (contents[f].count == 0 || pieces[contents[f].first].offset != 0) f++;
  ok(cfuse_read_present(&service, f, 0, 1, &byte), "what has come meanwhile is here");
  layers[contents[f].layer].refused = 1;
  ok(!cfuse_read_present(&service, f, 0, 1, &byte), "of a layer that is refused nothing is");
  layers[contents[f].layer].refused = 0;
  const cfuse_piece *first = &pieces[contents[f].first];
  int64_t place = first->place;
  int cut = archive_file(&layers[contents[f].layer], (size_t)place);
  int whole = archives[contents[f].layer].file;
  archives[contents[f].layer].file = cut;
  ok(!cfuse_read_present(&service, f, 0, 1, &byte), "an archive that ends too early is for the reader to complain of");
  archives[contents[f].layer].file = whole;
  contents[f].first = used;
  ok(!cfuse_read_present(&service, f, 0, 1, &byte), "so are pieces that the tree has not");
  contents[f] = (cfuse_contents){.layer = 2};
  ok(!cfuse_read_present(&service, f, 0, 1, &byte), "and a layer");
  close(cut);
  for (int i = 0; i < 2; i++) close(archives[i].file);
}
