#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static int64_t end_of(const cfuse_archive *archive, uint32_t span) {
  int64_t end;
  memcpy(&end, archive->ends + span * archive->stride, sizeof end);
  return end;
}

// The span that holds a place of the archive; `count` if there is none.
static uint32_t span_of(const cfuse_archive *archive, int64_t place) {
  uint32_t low = 0, high = archive->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (end_of(archive, middle) > place)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static bool is_present(const cfuse_archive *archive, int64_t place, int64_t count) {
  for (uint32_t span = span_of(archive, place); span < archive->count; span++) {
    if (!__atomic_load_n(&archive->present[span], __ATOMIC_ACQUIRE)) return false;
    if (end_of(archive, span) >= place + count) return true;
  }
  return false;
}

static bool copy(const cfuse_archive *archive, int64_t place, size_t count, uint8_t *bytes) {
  while (count > 0) {
    ssize_t got = pread(archive->file, bytes, count, place);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    place += got;
    count -= (size_t)got;
  }
  return true;
}

static const cfuse_archive *archive_of(const cfuse_service *service, uint32_t node) {
  if (!service->archives || !service->tree->contents) return NULL;
  const cfuse_contents *contents = &service->tree->contents[node];
  if (contents->layer >= service->archive_count) return NULL;
  if (contents->first > service->tree->piece_count || contents->count > service->tree->piece_count - contents->first) return NULL;
  return &service->archives[contents->layer];
}

bool cfuse_read_present(const cfuse_service *service, uint32_t node, uint64_t offset, uint32_t count, uint8_t *bytes) {
  const cfuse_archive *archive = archive_of(service, node);
  if (!archive || __atomic_load_n(archive->refused, __ATOMIC_ACQUIRE)) return false;
  const cfuse_contents *contents = &service->tree->contents[node];
  const cfuse_piece *pieces = service->tree->pieces + contents->first;
  // The first piece that ends behind the offset: sparse files can have many.
  uint32_t low = 0, high = contents->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (pieces[middle].offset + pieces[middle].count > (int64_t)offset)
      high = middle;
    else
      low = middle + 1;
  }
  int64_t at = (int64_t)offset, end = at + count;
  for (uint32_t i = low; i < contents->count && at < end && pieces[i].offset < end; i++) {
    const cfuse_piece *piece = &pieces[i];
    if (piece->offset > at) {
      memset(bytes, 0, (size_t)(piece->offset - at));
      bytes += piece->offset - at;
      at = piece->offset;
    }
    int64_t last = piece->offset + piece->count < end ? piece->offset + piece->count : end;
    if (last <= at) continue;
    int64_t place = piece->place + (at - piece->offset);
    if (!is_present(archive, place, last - at) || !copy(archive, place, (size_t)(last - at), bytes)) return false;
    bytes += last - at;
    at = last;
  }
  memset(bytes, 0, (size_t)(end - at));
  // Bytes that were copied while the layer turned out to be another are not given away.
  return !__atomic_load_n(archive->refused, __ATOMIC_ACQUIRE);
}

void cfuse_touch(const cfuse_service *service, uint32_t node, uint64_t offset, uint32_t count) {
  const cfuse_archive *archive = archive_of(service, node);
  if (!archive || !service->touch) return;
  const cfuse_contents *contents = &service->tree->contents[node];
  const cfuse_piece *pieces = service->tree->pieces + contents->first;
  int64_t from = (int64_t)offset, end = from + count;
  for (uint32_t i = 0; i < contents->count && pieces[i].offset < end; i++) {
    int64_t first = pieces[i].offset > from ? pieces[i].offset : from;
    int64_t last = pieces[i].offset + pieces[i].count < end ? pieces[i].offset + pieces[i].count : end;
    if (last <= first) continue;
    int64_t place = pieces[i].place + (first - pieces[i].offset), stop = place + (last - first);
    for (uint32_t span = span_of(archive, place); span < archive->count && (span == 0 || end_of(archive, span - 1) < stop); span++) {
      if (__atomic_load_n(&archive->touched[span], __ATOMIC_RELAXED) || __atomic_exchange_n(&archive->touched[span], 1, __ATOMIC_RELAXED)) continue;
      service->touch(service->context, contents->layer, span);
    }
  }
}
