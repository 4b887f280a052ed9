#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "CIdle.h"
#include "internal.h"

#define BUFFER (LARGEST_WRITE + (64u << 10))

static int reply(int device, uint64_t number, int error, const struct iovec *parts, int count) {
  struct iovec all[4];
  struct fuse_out_header head = {.len = sizeof head, .error = -error, .unique = number};
  all[0] = (struct iovec){&head, sizeof head};
  int used = 1;
  for (int i = 0; i < count && !error; i++) {
    if (parts[i].iov_len == 0) continue;
    all[used++] = parts[i];
    head.len += parts[i].iov_len;
  }
  for (;;) {
    if (writev(device, all, used) >= 0) return 0;
    if (errno != EINTR && errno != EAGAIN) return errno;
  }
}

static void fail(int device, const struct fuse_in_header *request, int error) { reply(device, request->unique, error, NULL, 0); }

static void answer(int device, const struct fuse_in_header *request, const void *bytes, size_t count) {
  struct iovec part = {(void *)bytes, count};
  reply(device, request->unique, 0, &part, 1);
}

int cfuse_reply(int device, uint64_t number, int error, const void *bytes, size_t count) {
  struct iovec part = {(void *)bytes, count};
  return reply(device, number, error, &part, 1);
}

static void attributes_of(const cfuse_tree *tree, uint32_t place, struct fuse_attr *out) {
  const cfuse_node *node = &tree->nodes[place];
  memset(out, 0, sizeof *out);
  out->ino = (uint64_t)place + 1;
  out->size = node->size;
  out->blocks = (node->size + 511) / 512;
  out->atime = out->mtime = out->ctime = (uint64_t)node->seconds;
  out->atimensec = out->mtimensec = out->ctimensec = node->nanoseconds;
  out->mode = node->mode;
  out->nlink = node->links;
  out->uid = node->owner;
  out->gid = node->group;
  // The kernel's own form of a device's number, 12 and 20 bits (include/linux/kdev_t.h, new_encode_dev).
  out->rdev = (node->minor & 0xff) | (node->major << 8) | ((node->minor & ~0xffu) << 12);
  out->blksize = 4096;
}

static void entry_of(const cfuse_tree *tree, uint32_t place, struct fuse_entry_out *out) {
  memset(out, 0, sizeof *out);
  out->nodeid = (uint64_t)place + 1;
  out->entry_valid = out->attr_valid = FOREVER;
  attributes_of(tree, place, &out->attr);
}

int64_t cfuse_find(const cfuse_tree *tree, uint32_t directory, const char *name, size_t length) {
  const cfuse_node *node = &tree->nodes[directory];
  uint32_t low = 0, high = node->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const cfuse_name *found = &tree->names[node->first + middle];
    size_t common = found->length < length ? found->length : length;
    int order = memcmp(tree->text + found->text, name, common);
    if (order == 0) order = found->length < length ? -1 : found->length > length;
    if (order == 0) return found->node;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return -1;
}

// Whether INIT is settled.
static bool init(int device, const cfuse_service *service, const struct fuse_in_header *request, size_t length, cfuse_init_state *state) {
  struct cfuse_init_out out;
  int error = cfuse_negotiate((const struct fuse_init_in *)(request + 1), length - sizeof *request, service->state != NULL, &out, state);
  if (error != 0) {
    fail(device, request, error);
    return false;
  }
  if (service->state && state->minor != 0 && !state->passthrough) cfuse_state_refuse(service->state, EOPNOTSUPP);
  struct iovec part = {&out, sizeof out};
  // Without a version, the kernel asks again.
  return reply(device, request->unique, 0, &part, 1) == 0 && state->minor != 0;
}

// Entries 0 and 1 are "." and ".."; what stands at `offset` is the next to be told.
static void list(int device, const cfuse_tree *tree, const struct fuse_in_header *request, const struct fuse_read_in *in, uint32_t place, uint8_t *buffer) {
  int plus = request->opcode == FUSE_READDIRPLUS;
  const cfuse_node *node = &tree->nodes[place];
  uint32_t room = in->size < LARGEST_WRITE ? in->size : LARGEST_WRITE;
  uint32_t used = 0;
  for (uint64_t next = in->offset; next < (uint64_t)node->count + 2; next++) {
    const cfuse_name *name = next < 2 ? NULL : &tree->names[node->first + (next - 2)];
    const char *text = next == 0 ? "." : next == 1 ? ".." : (const char *)tree->text + name->text;
    uint32_t length = next < 2 ? (uint32_t)next + 1 : name->length;
    uint32_t child = next == 0 ? place : next == 1 ? node->parent : name->node;
    uint32_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    uint32_t whole = FUSE_DIRENT_ALIGN(head + length);
    if (whole > room - used) break;
    memset(buffer + used, 0, whole);
    struct fuse_dirent *entry = (struct fuse_dirent *)(buffer + used);
    if (plus) {
      struct fuse_direntplus *both = (struct fuse_direntplus *)(buffer + used);
      // A node 0 says: no entry, the name alone.
      if (next >= 2) entry_of(tree, child, &both->entry_out);
      entry = &both->dirent;
    }
    entry->ino = (uint64_t)child + 1;
    entry->off = next + 1;
    entry->namelen = length;
    entry->type = tree->nodes[child].mode >> 12;
    memcpy(entry->name, text, length);
    used += whole;
  }
  answer(device, request, buffer, used);
}

static void list_attributes(int device, const cfuse_tree *tree, const struct fuse_in_header *request, const cfuse_node *node, uint32_t room) {
  struct fuse_getxattr_out size = {0};
  for (uint32_t i = 0; i < node->attribute_count; i++) size.size += tree->attributes[node->attribute + i].name_length + 1;
  if (room == 0) return answer(device, request, &size, sizeof size);
  if (size.size > room) return fail(device, request, ERANGE);
  char names[XATTR_LIST_MAX];
  if (size.size > sizeof names) return fail(device, request, E2BIG);
  uint32_t used = 0;
  for (uint32_t i = 0; i < node->attribute_count; i++) {
    const cfuse_attribute *attribute = &tree->attributes[node->attribute + i];
    memcpy(names + used, tree->text + attribute->name, attribute->name_length);
    used += attribute->name_length;
    names[used++] = 0;
  }
  answer(device, request, names, used);
}

static void get_attribute(
    int device, const cfuse_tree *tree, const struct fuse_in_header *request, const cfuse_node *node, uint32_t room, const char *name, size_t length) {
  for (uint32_t i = 0; i < node->attribute_count; i++) {
    const cfuse_attribute *attribute = &tree->attributes[node->attribute + i];
    if (attribute->name_length != length || memcmp(tree->text + attribute->name, name, length) != 0) continue;
    struct fuse_getxattr_out size = {.size = attribute->value_length};
    if (room == 0) return answer(device, request, &size, sizeof size);
    if (attribute->value_length > room) return fail(device, request, ERANGE);
    return answer(device, request, tree->text + attribute->value, attribute->value_length);
  }
  fail(device, request, ENODATA);
}

static void statistics(int device, const cfuse_tree *tree, const struct fuse_in_header *request) {
  struct fuse_statfs_out out = {0};
  out.st.bsize = out.st.frsize = 4096;
  out.st.blocks = (tree->bytes + 4095) / 4096;
  out.st.files = tree->node_count;
  out.st.namelen = 255;
  answer(device, request, &out, sizeof out);
}

static void open_file(int device, const cfuse_service *service, const struct fuse_in_header *request, const struct fuse_open_in *in, uint32_t place) {
  if ((in->flags & O_ACCMODE) != O_RDONLY) return fail(device, request, EROFS);
  cfuse_opened opened;
  int error = cfuse_open_node(device, service, place, request->unique, &opened);
  if (error != 0) return fail(device, request, error);
  struct cfuse_open_out out = {.flags = opened.flags, .backing = opened.backing};
  struct iovec part = {&out, sizeof out};
  // Nobody waits for it any more, so nobody will release it.
  if (reply(device, request->unique, 0, &part, 1) != 0) cfuse_release_node(device, service, place);
}

// Answers a read without the reader, if its bytes are here.
static bool read_present(int device, const cfuse_service *service, uint64_t number, uint32_t node, uint64_t offset, uint32_t count, uint8_t *buffer) {
  if (count > LARGEST_WRITE || !cfuse_read_present(service, node, offset, count, buffer)) return false;
  cfuse_reply(device, number, 0, buffer, count);
  return true;
}

static void handle(int device, const cfuse_service *service, const struct fuse_in_header *request, size_t length, uint8_t *out) {
  const cfuse_tree *tree = service->tree;
  const uint8_t *body = (const uint8_t *)(request + 1);
  size_t size = length - sizeof *request;
  switch (request->opcode) {
    case FUSE_STATFS: return statistics(device, tree, request);
    case FUSE_DESTROY: return fail(device, request, 0);
    // Nobody waits for an answer to these.
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT: return;
    // The kernel remembers: nothing is asked again when files are opened, closed or searched.
    case FUSE_OPENDIR:
    case FUSE_FLUSH:
    case FUSE_ACCESS:
    case FUSE_LSEEK: return fail(device, request, ENOSYS);
    case FUSE_RELEASEDIR: return fail(device, request, 0);
    default: break;
  }
  if (request->nodeid == 0 || request->nodeid > tree->node_count) return fail(device, request, ESTALE);
  uint32_t place = (uint32_t)(request->nodeid - 1);
  const cfuse_node *node = &tree->nodes[place];
  switch (request->opcode) {
    case FUSE_LOOKUP: {
      struct fuse_entry_out entry;
      if (!S_ISDIR(node->mode)) return fail(device, request, ENOTDIR);
      int64_t found = cfuse_find(tree, place, (const char *)body, strnlen((const char *)body, size));
      if (found >= 0) {
        entry_of(tree, (uint32_t)found, &entry);
      } else {
        // A node 0 is remembered too: nothing is called so, and never will be.
        memset(&entry, 0, sizeof entry);
        entry.entry_valid = FOREVER;
      }
      return answer(device, request, &entry, sizeof entry);
    }
    case FUSE_GETATTR: {
      struct fuse_attr_out attributes = {.attr_valid = FOREVER};
      attributes_of(tree, place, &attributes.attr);
      return answer(device, request, &attributes, sizeof attributes);
    }
    case FUSE_READLINK:
      if (!S_ISLNK(node->mode)) return fail(device, request, EINVAL);
      return answer(device, request, tree->text + node->target, node->target_length);
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      if (!S_ISDIR(node->mode)) return fail(device, request, ENOTDIR);
      if (size < sizeof(struct fuse_read_in)) return fail(device, request, EINVAL);
      if (request->opcode == FUSE_READDIRPLUS) cfuse_listing(service, device, place, ((const struct fuse_read_in *)body)->offset);
      return list(device, tree, request, (const struct fuse_read_in *)body, place, out);
    case FUSE_OPEN:
      if (!service->state) return fail(device, request, ENOSYS);
      if (size < sizeof(struct fuse_open_in)) return fail(device, request, EINVAL);
      return open_file(device, service, request, (const struct fuse_open_in *)body, place);
    case FUSE_RELEASE:
      fail(device, request, 0);
      if (service->state) cfuse_release_node(device, service, place);
      return;
    case FUSE_READ: {
      const struct fuse_read_in *in = (const struct fuse_read_in *)body;
      if (size < sizeof *in) return fail(device, request, EINVAL);
      if (!S_ISREG(node->mode)) return fail(device, request, EISDIR);
      if (in->offset >= node->size || in->size == 0) return answer(device, request, NULL, 0);
      uint64_t left = node->size - in->offset;
      uint32_t wanted = left < in->size ? (uint32_t)left : in->size;
      if (read_present(device, service, request->unique, place, in->offset, wanted, out)) {
        if (service->answered) __atomic_fetch_add(service->answered, 1, __ATOMIC_RELAXED);
        cfuse_touch(service, place, in->offset, wanted);
        return cfuse_notice(service, device, place);
      }
      cfuse_count_read(service);
      return service->read(service->context, device, request->unique, request->pid, place, in->offset, wanted);
    }
    case FUSE_LISTXATTR:
    case FUSE_GETXATTR: {
      const struct fuse_getxattr_in *in = (const struct fuse_getxattr_in *)body;
      if (size < sizeof *in) return fail(device, request, EINVAL);
      if (request->opcode == FUSE_LISTXATTR) return list_attributes(device, tree, request, node, in->size);
      const char *name = (const char *)(in + 1);
      // Asked no more, then: an overlay asks for its marks on every directory.
      if (!tree->attributes) return fail(device, request, ENOSYS);
      return get_attribute(device, tree, request, node, in->size, name, strnlen(name, size - sizeof *in));
    }
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_SYNCFS: return fail(device, request, 0);
    case FUSE_SETATTR:
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_LINK:
    case FUSE_WRITE:
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
    case FUSE_CREATE:
    case FUSE_FALLOCATE: return fail(device, request, EROFS);
    default: return fail(device, request, ENOSYS);
  }
}

// How long the next request is looked for before this thread sleeps, in nanoseconds: whoever has just been answered asks again soon, and to be woken takes
// longer than to be answered. One thread of the process at a time does so, whatever it serves.
#define PATIENCE 100000
static int somebody_looks;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Whoever reads as much at a time reads on: the kernel asks for the next while this one is being used.
static bool is_large_read(const struct fuse_in_header *request) {
  return request->opcode == FUSE_READ && ((const struct fuse_read_in *)(request + 1))->size >= 256u << 10;
}

static void look_for_next(int device) {
  if (__atomic_exchange_n(&somebody_looks, 1, __ATOMIC_ACQUIRE)) return;
  struct pollfd wait = {.fd = device, .events = POLLIN};
  // Where it is ready, another thread may take it all the same: then this one sleeps in read.
  for (uint64_t start = now(); poll(&wait, 1, 0) == 0 && now() - start < PATIENCE;) sched_yield();
  __atomic_store_n(&somebody_looks, 0, __ATOMIC_RELEASE);
}

// Until the mount is gone, or until INIT is settled if `state` is asked for. ENODEV if it is gone before.
static int serve(int device, const cfuse_service *service, cfuse_init_state *state) {
  uint8_t *in, *out;
  int result = service->state ? cfuse_state_check(service->state, service->tree) : 0;
  if (result != 0) return result;
  if (posix_memalign((void **)&in, 4096, BUFFER) != 0) return ENOMEM;
  if (posix_memalign((void **)&out, 4096, BUFFER) != 0) {
    free(in);
    return ENOMEM;
  }
  for (;;) {
    ssize_t count = read(device, in, BUFFER);
    if (count < 0) {
      // ENOENT: the request was interrupted before it was read.
      if (errno == EINTR || errno == EAGAIN || errno == ENOENT) continue;
      // Unmounted; ECONNABORTED if that was while a request was being read.
      result = errno == ECONNABORTED ? ENODEV : errno;
      if (result == ENODEV && !state) result = 0;
      break;
    }
    const struct fuse_in_header *request = (const struct fuse_in_header *)in;
    if ((size_t)count < sizeof *request || request->len != (uint32_t)count) {
      result = EPROTO;
      break;
    }
    if (request->opcode != FUSE_INIT) {
      handle(device, service, request, (size_t)count, out);
      if (request->opcode != FUSE_FORGET && request->opcode != FUSE_BATCH_FORGET) cidle_answered();
      if (request->opcode == FUSE_READDIRPLUS || is_large_read(request)) look_for_next(device);
      continue;
    }
    cfuse_init_state settled;
    if (init(device, service, request, (size_t)count, &settled) && state) {
      *state = settled;
      break;
    }
  }
  free(in);
  free(out);
  return result;
}

int cfuse_serve_with(int device, const cfuse_service *service) { return serve(device, service, NULL); }

int cfuse_serve(int device, const cfuse_tree *tree, cfuse_reader read_bytes, void *context) {
  cfuse_service service = {.tree = tree, .read = read_bytes, .context = context};
  return cfuse_serve_with(device, &service);
}

int cfuse_handshake(int device, const cfuse_service *service, cfuse_init_state *state) {
  cfuse_init_state unwanted;
  return serve(device, service, state ? state : &unwanted);
}
