#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "internal.h"

// Notifications have no number; their code stands where answers have the error.
static int notify(int device, int code, const struct iovec *parts, int count) {
  struct fuse_out_header head = {.len = sizeof head, .error = code};
  struct iovec all[3] = {{&head, sizeof head}};
  for (int i = 0; i < count; i++) {
    all[i + 1] = parts[i];
    head.len += (uint32_t)parts[i].iov_len;
  }
  for (;;) {
    if (writev(device, all, count + 1) >= 0) return 0;
    if (errno != EINTR && errno != EAGAIN) return errno;
  }
}

int cfuse_push(int device, uint32_t node, uint64_t offset, const void *bytes, size_t count) {
  struct fuse_notify_store_out store = {.nodeid = (uint64_t)node + 1, .offset = offset, .size = (uint32_t)count};
  if (count > UINT32_MAX - sizeof(struct fuse_out_header) - sizeof store) return EINVAL;
  struct iovec parts[2] = {{&store, sizeof store}, {(void *)bytes, count}};
  return notify(device, FUSE_NOTIFY_STORE, parts, 2);
}

int cfuse_forget_bytes(int device, uint32_t node) {
  // No length: to the end.
  struct fuse_notify_inval_inode_out bytes = {.ino = (uint64_t)node + 1, .off = 0, .len = 0};
  struct iovec part = {&bytes, sizeof bytes};
  return notify(device, FUSE_NOTIFY_INVAL_INODE, &part, 1);
}

int cfuse_resend(int device) { return notify(device, CFUSE_NOTIFY_RESEND, NULL, 0); }
