#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

#include "CIdle.h"
#include "transport.h"

// Bit 37 of INIT.
#define PASSTHROUGH_HIGH (1u << 5)
// The answer to INIT in words of 32 bits (include/uapi/linux/fuse.h, protocol 7.40).
enum { FLAGS = 3, FLAGS2 = 8, MAX_STACK_DEPTH = 9, INIT_WORDS = 16 };

static ssize_t read_request(int device, void *buffer, size_t room, void *data) {
  clibfuse *session = data;
  // What this thread has read before is answered.
  cidle_answered();
  ssize_t count = read(device, buffer, room);
  // Unmounted while a request was being read; libfuse knows the other number.
  if (count < 0 && errno == ECONNABORTED) errno = ENODEV;
  const struct fuse_in_header *request = buffer;
  if (count < (ssize_t)(sizeof *request + offsetof(struct fuse_init_in, unused)) || request->opcode != FUSE_INIT) return count;
  const struct fuse_init_in *in = (const struct fuse_init_in *)(request + 1);
  if (in->major != FUSE_KERNEL_VERSION) return count;
  session->offered = in->flags & FUSE_INIT_EXT ? in->flags | (uint64_t)in->flags2 << 32 : in->flags;
  atomic_store(&session->init, request->unique);
  return count;
}

static ssize_t write_answer(int device, struct iovec *parts, int count, void *data) {
  clibfuse *session = data;
  const struct fuse_out_header *head = parts[0].iov_base;
  uint64_t init = atomic_load(&session->init);
  uint32_t out[INIT_WORDS];
  if (init == 0 || count != 2 || head->unique != init || head->error != 0 || parts[1].iov_len != sizeof out) return writev(device, parts, count);
  atomic_store(&session->init, 0);
  if (!session->passes) return writev(device, parts, count);
  memcpy(out, parts[1].iov_base, sizeof out);
  out[FLAGS] |= FUSE_INIT_EXT;
  out[FLAGS2] |= PASSTHROUGH_HIGH;
  out[MAX_STACK_DEPTH] = 1;
  struct iovec completed[2] = {parts[0], {out, sizeof out}};
  return writev(device, completed, 2);
}

static const struct fuse_custom_io through_us = {.writev = write_answer, .read = read_request};

int clibfuse_may_pass(const clibfuse *session) { return session->offered & FUSE_INIT_EXT && session->offered >> 32 & PASSTHROUGH_HIGH; }

int clibfuse_begin(clibfuse *session, const struct fuse_lowlevel_ops *operations, size_t size, int device, const char *target) {
  char name[] = "containerd-ref", *words[] = {name, NULL};
  struct fuse_args arguments = FUSE_ARGS_INIT(1, words);
  session->device = device;
  session->session = fuse_session_new(&arguments, operations, size, session);
  fuse_opt_free_args(&arguments);
  // libfuse waits in read(2).
  int flags = fcntl(device, F_GETFL), error = session->session ? 0 : ENOMEM;
  if (!error && (flags < 0 || fcntl(device, F_SETFL, flags & ~O_NONBLOCK) < 0)) error = errno;
  if (!error) error = -fuse_session_custom_io(session->session, &through_us, device);
  if (!error) return 0;
  umount2(target, MNT_DETACH);
  close(device);
  if (session->session) fuse_session_destroy(session->session);
  return error;
}

clibfuse *clibfuse_mount(const char *target, const char *source, const cfuse_mount_options *options, const cfuse_service *service) {
  int error = service->state ? cfuse_state_check(service->state, service->tree) : 0;
  clibfuse *made = error ? NULL : calloc(1, sizeof *made);
  if (!made) {
    errno = error ? error : ENOMEM;
    return NULL;
  }
  made->service = *service;
  const struct fuse_lowlevel_ops *operations = service->state ? &clibfuse_operations_with_opens : &clibfuse_operations;
  int device = cfuse_mount_with(target, source, options);
  error = device < 0 ? errno : clibfuse_begin(made, operations, sizeof *operations, device, target);
  if (error == 0) return made;
  free(made);
  errno = error;
  return NULL;
}

int clibfuse_device(const clibfuse *session) { return session->device; }

int clibfuse_serve(clibfuse *session) { return session->tree ? clibfuse_serve_union(session) : clibfuse_loop(session); }

int clibfuse_loop(clibfuse *session) {
  struct fuse_buf buffer = {0};
  int result = 0;
  while (!fuse_session_exited(session->session)) {
    // 0: the mount is gone.
    result = fuse_session_receive_buf(session->session, &buffer);
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result <= 0) break;
    fuse_session_process_buf(session->session, &buffer);
    result = 0;
  }
  free(buffer.mem);
  return -result;
}

int clibfuse_reply(int device, uint64_t number, int error, const void *bytes, size_t count) {
  (void)device;
  fuse_req_t request = (fuse_req_t)(uintptr_t)number;
  return -(error ? fuse_reply_err(request, error) : fuse_reply_buf(request, bytes, count));
}

void clibfuse_close(clibfuse *session) {
  fuse_session_destroy(session->session);
  free(session);
}
