// Open files. Those of the upper layer are read and written by the kernel itself, if it may (passthrough); the others through its page cache and this process.
// An inode is never open both ways at once: the kernel refuses that.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "change.h"
#include "union.h"

// A lower file up to this size is put into the kernel's page cache when it is first opened: that saves the request to read it.
#define PUSHED (128u << 10)
// Up to this size data is moved by the thread that takes requests, if it is there.
#define AT_ONCE (128u << 10)

static int passes(struct worker *worker, uint32_t number, int fd) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  if (node->passed) return 1;
  if (!tree->passing || node->cached || node->layer != UPPER) return 0;
  struct union_backing_map map = {.fd = fd};
  int backing = ioctl(worker->device, UNION_BACKING_OPEN, &map);
  if (backing > 0) node_edit(tree, number)->backing = backing;
  // Not allowed here, or on a file system that is stacked itself: never again.
  if (backing < 0 && (errno == EPERM || errno == ELOOP || errno == EOPNOTSUPP || errno == EINVAL || errno == ENOTTY)) {
    tree->passing = 0;
    tree->state->passing = 0;
  }
  return backing > 0;
}

// Takes the descriptor over. 0 or an errno.
static int open_handle(struct worker *worker, uint32_t number, int fd, uint32_t flags, struct union_open_out *out) {
  int writes = (flags & O_ACCMODE) != O_RDONLY;
  cunion *tree = worker->tree;
  if (!tree->passthrough) {
    // Nobody says when it is closed: once OPEN is not asked any more, RELEASE is not either.
    if (fd >= 0) close(fd);
    *out = (struct union_open_out){.open_flags = FOPEN_NOFLUSH | FOPEN_KEEP_CACHE};
    return 0;
  }
  struct node *node = node_edit(tree, number);
  uint32_t place = handle_new(tree);
  if (!place) {
    if (fd >= 0) close(fd);
    return ENOMEM;
  }
  struct handle *handle = handle_own(tree, place);
  handle->node = number;
  handle->layer = node->layer;
  handle->writes = (uint8_t)writes;
  *out = (struct union_open_out){.fh = place, .open_flags = FOPEN_NOFLUSH};
  if (passes(worker, number, fd)) {
    handle->passed = 1;
    node->passed++;
    if ((flags & O_ACCMODE) == O_RDWR) node->flags |= NODE_MAPPED;
    out->open_flags |= UNION_FOPEN_PASSTHROUGH;
    out->backing = node->backing;
    if (fd >= 0) close(fd);
  } else {
    handle->fd = fd;
    node->cached++;
    // What was written past the page cache is not in it.
    if (node->layer != UPPER) out->open_flags |= FOPEN_KEEP_CACHE;
  }
  node->writers += (uint32_t)writes;
  return 0;
}

// What nobody may do somebody has done if a lower file is another than its catalog says: it is believed no more.
static void compare(struct worker *worker, uint32_t number, int fd) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  const struct catalog_entry *entry = node_catalogued(tree, node);
  struct stat file, told;
  if (!entry || fstat(fd, &file) < 0) return;
  catalog_stat(entry, &told);
  if (file.st_size == told.st_size && file.st_ctim.tv_sec == told.st_ctim.tv_sec && file.st_ctim.tv_nsec == told.st_ctim.tv_nsec) return;
  slot_edit(tree, node->name)->catalogued = 0;
  forget_attributes(worker, number);
}

static void push(struct worker *worker, uint32_t number, int fd) {
  struct node *node = node_own(worker->tree, number);
  // Somebody who is reading it may hold its pages, and wait for this thread.
  if (node->layer == UPPER || worker->tree->layers[node->layer].fetched || node->state & NODE_PUSHED || node->cached > 1) return;
  node->state |= NODE_PUSHED;
  ssize_t count = pread(fd, worker->out, PUSHED + 1, 0);
  if (count <= 0 || count > (ssize_t)PUSHED) return;
  store(worker, number, worker->out, (size_t)count);
}

// The regular file before a name in its directory, if there is one near; 0 if not.
static uint32_t file_before(cunion *tree, const struct slot *slot) {
  for (int steps = 0; steps < 8 && slot->previous; steps++) {
    slot = slot_at(tree, slot->previous);
    const struct node *node = node_at(tree, slot->node);
    if (node && S_ISREG(node->type)) return slot->node;
  }
  return 0;
}

// The regular file that who walks through everything comes to behind a name, in this directory or another that is listed; 0 if none is near.
static uint32_t file_behind(cunion *tree, const struct slot *slot) {
  for (int steps = 0; steps < 24; steps++) {
    const struct node *shown = node_at(tree, slot->node);
    uint32_t place = shown && S_ISDIR(shown->type) && steps > 0 && shown->first ? shown->first : slot->next;
    while (!place) {
      const struct node *above = node_at(tree, slot->parent);
      if (slot->parent == ROOT || !above->name || ++steps > 24) return 0;
      slot = slot_at(tree, above->name);
      place = slot->next;
    }
    slot = slot_at(tree, place);
    const struct node *node = node_at(tree, slot->node);
    if (node && S_ISREG(node->type)) return slot->node;
  }
  return 0;
}

// While the one who has been answered reads, the next file is made ready, if he seems to go through them in order: he had the file before this one, or this is
// the first of its directory and that was listed. Nobody has that file open, and nobody can get it open as long as the lock is held.
static void push_next(struct worker *worker, uint32_t number) {
  cunion *tree = worker->tree;
  const struct node *node = node_at(tree, number);
  if (!node->name || node->layer == UPPER) return;
  const struct slot *slot = slot_at(tree, node->name);
  uint32_t before = file_before(tree, slot), after = file_behind(tree, slot);
  if (!after || !(before ? node_at(tree, before)->state & NODE_PUSHED : node_at(tree, slot->parent)->cursor)) return;
  const struct node *next = node_at(tree, after);
  if (next->layer == UPPER || !next->lookups || next->cached || next->passed || next->state & NODE_PUSHED) return;
  int fd = node_open(tree, after, O_RDONLY | O_NOATIME | O_NONBLOCK);
  if (fd < 0) return;
  compare(worker, after, fd);
  push(worker, after, fd);
  close(fd);
}

void do_open(struct worker *worker, const void *body, size_t size) {
  const struct fuse_open_in *in = body;
  cunion *tree = worker->tree;
  uint32_t number = (uint32_t)worker->request->nodeid;
  struct union_open_out out;
  if (size < sizeof *in) return fail(worker, EINVAL);
  // Without passthrough, opening needs nobody: the kernel asks no more, and reads and writes files by their number alone.
  if (!tree->passthrough) return fail(worker, ENOSYS);
  if (!S_ISREG(node_at(tree, number)->type)) return fail(worker, EINVAL);
  int cut = in->flags & O_TRUNC, writes = (in->flags & O_ACCMODE) != O_RDONLY, error = 0;
  if (writes || cut) error = copy_up(worker, number, cut);
  const struct node *node = node_at(tree, number);
  if (!error && !node) error = ESTALE;
  if (error) return fail(worker, error);
  int fd = -1;
  // What the kernel has in its page cache already is opened here only if it comes to read after all.
  int remembered = !writes && node->layer != UPPER && node->state & NODE_PUSHED;
  if (cut || !(remembered || node->passed)) {
    int flags = writes || cut ? O_RDWR : O_RDONLY | (node->layer == UPPER ? 0 : O_NOATIME);
    fd = node_open(tree, number, flags | (cut ? O_TRUNC : 0) | O_NONBLOCK);
    if (fd < 0 && errno == EPERM && flags & O_NOATIME) fd = node_open(tree, number, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return fail(worker, errno);
  }
  if (fd >= 0) compare(worker, number, fd);
  if (cut && in->open_flags & FUSE_OPEN_KILL_SUIDGID) clear_privileges(fd);
  if ((error = open_handle(worker, number, fd, in->flags, &out))) return fail(worker, error);
  if (writes)
    forget_attributes(worker, number);
  else if (fd >= 0 && !(out.open_flags & UNION_FOPEN_PASSTHROUGH))
    push(worker, number, fd);
  answer(worker, &out, sizeof out);
  push_next(worker, number);
}

void do_create(struct worker *worker, const void *body, size_t size) {
  const struct fuse_create_in *in = body;
  struct fuse_entry_out entry;
  struct union_open_out out;
  if (size <= sizeof *in) return fail(worker, EINVAL);
  const char *name = (const char *)(in + 1);
  struct birth birth = {.mode = S_IFREG | (in->mode & 07777), .open = 1, .fd = -1};
  int error = bear(worker, name, strnlen(name, size - sizeof *in), &birth, in->umask, &entry);
  if (error) return fail(worker, error);
  error = open_handle(worker, (uint32_t)entry.nodeid, birth.fd, in->flags, &out);
  if (error) return fail(worker, error);
  // The entry's attributes, taken before the file was open for writing, may be remembered: an empty file has no pages to be written to unnoticed.
  answer_two(worker, &entry, sizeof entry, &out, sizeof out);
}

void do_tmpfile(struct worker *worker, const void *body, size_t size) {
  const struct fuse_create_in *in = body;
  cunion *tree = worker->tree;
  struct fuse_entry_out entry;
  struct union_open_out out;
  struct stat made;
  if (size < sizeof *in) return fail(worker, EINVAL);
  int directory = upper_directory(worker, (uint32_t)worker->request->nodeid);
  if (directory < 0) return fail(worker, errno);
  become_caller(worker, in->umask);
  int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, in->mode & 07777);
  if (fd < 0) return fail(worker, errno);
  int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  uint32_t number = 0;
  if (kept >= 0 && fstat(fd, &made) == 0) number = node_new(tree, S_IFREG, UPPER, ino_of(tree, UPPER, made.st_ino));
  if (!number) {
    int error = kept < 0 ? errno : ENOMEM;
    close(fd);
    if (kept >= 0) close(kept);
    return fail(worker, error);
  }
  node_own(tree, number)->fd = kept;
  tree->held++;
  park_nameless(tree, number);
  int error = open_handle(worker, number, fd, in->flags, &out);
  if (!error) error = fill_entry(tree, number, NULL, &entry);
  if (error) return fail(worker, error);
  answer_two(worker, &entry, sizeof entry, &out, sizeof out);
}

void do_release(struct worker *worker, const void *body, size_t size) {
  const struct fuse_release_in *in = body;
  cunion *tree = worker->tree;
  const struct handle *handle = size < sizeof *in ? NULL : handle_at(tree, in->fh);
  if (!handle) return fail(worker, size >= sizeof *in && in->fh == 0 ? 0 : EBADF);
  uint32_t number = handle->node, backing = 0;
  struct node *node = node_edit(tree, number);
  node->writers -= handle->writes;
  if (!handle->passed) {
    node->cached--;
  } else if (--node->passed == 0) {
    backing = (uint32_t)node->backing;
    node->backing = 0;
  }
  if (handle->fd >= 0) close(handle->fd);
  handle_free(tree, (uint32_t)in->fh);
  node_release(tree, number);
  fail(worker, 0);
  // After that: a successor that did not know would give the kernel a number that is no more.
  if (backing) ioctl(worker->device, UNION_BACKING_CLOSE, &backing);
}

// A descriptor of an open file, for as long as it is open, or for `*own` to be closed. -1 and errno. `number` 0: opened without asking; then it comes into the
// upper layer when it is first written to.
static int borrow(struct worker *worker, uint64_t file, uint64_t number, int flags, int *own) {
  cunion *tree = worker->tree;
  struct handle *handle = handle_own(tree, number);
  *own = -1;
  if (number == 0 && !tree->passthrough && node_at(tree, file)) {
    int error = flags == O_RDWR ? copy_up(worker, (uint32_t)file, 0) : 0;
    if (!error && !node_at(tree, file)) error = ESTALE;
    if (!error) return *own = node_open(tree, (uint32_t)file, flags | O_NONBLOCK);
    errno = error;
    return -1;
  }
  if (!handle) {
    errno = EBADF;
    return -1;
  }
  const struct node *node = node_at(tree, handle->node);
  if (handle->fd < 0) {
    int fd = node_open(tree, handle->node, (handle->writes ? O_RDWR : flags) | O_NONBLOCK);
    if (handle->passed) return *own = fd;
    handle->layer = node->layer;
    return handle->fd = fd;
  }
  if (handle->layer != node->layer) {
    // It was copied up since: whoever has it open reads on in the new one. The number stays, since another thread may be reading by it.
    int fd = node_open(tree, handle->node, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return -1;
    int failed = dup3(fd, handle->fd, O_CLOEXEC) < 0 ? errno : 0;
    close(fd);
    if (failed) {
      errno = failed;
      return -1;
    }
    handle->layer = node->layer;
  }
  return handle->fd;
}

void do_read(struct worker *worker, const void *body, size_t size) {
  const struct fuse_read_in *in = body;
  int own;
  if (size < sizeof *in) return fail(worker, EINVAL);
  int fd = borrow(worker, worker->request->nodeid, in->fh, O_RDONLY, &own);
  if (fd < 0) return fail(worker, errno);
  unlock(worker);
  size_t want = in->size < LARGEST_WRITE ? in->size : LARGEST_WRITE, count = 0;
  int error = 0;
  if (want <= AT_ONCE) {
    struct iovec part = {worker->out, want};
    ssize_t got = preadv2(fd, &part, 1, (off_t)in->offset, RWF_NOWAIT);
    if (got > 0) count = (size_t)got;
  }
  while (count < want && !error) {
    if (count == 0 || want > AT_ONCE) stop_leading(worker);
    ssize_t got = pread(fd, worker->out + count, want - count, (off_t)(in->offset + count));
    if (got < 0 && errno != EINTR) error = errno;
    if (got == 0) break;
    if (got > 0) count += (size_t)got;
  }
  if (error)
    fail(worker, error);
  else
    answer(worker, worker->out, count);
  if (own >= 0) close(own);
  lock(worker);
}

void do_write(struct worker *worker, const void *body, size_t size) {
  const struct fuse_write_in *in = body;
  int own;
  if (size < sizeof *in || size - sizeof *in < in->size) return fail(worker, EINVAL);
  int fd = borrow(worker, worker->request->nodeid, in->fh, O_RDWR, &own);
  if (fd < 0) return fail(worker, errno);
  unlock(worker);
  if (in->size > AT_ONCE) stop_leading(worker);
  const char *bytes = (const char *)(in + 1);
  struct fuse_write_out out = {0};
  int error = 0;
  while (out.size < in->size) {
    ssize_t count = pwrite(fd, bytes + out.size, in->size - out.size, (off_t)(in->offset + out.size));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      error = count < 0 ? errno : EIO;
      break;
    }
    out.size += (uint32_t)count;
  }
  if (in->write_flags & FUSE_WRITE_KILL_SUIDGID) clear_privileges(fd);
  if (error && out.size == 0)
    fail(worker, error);
  else
    answer(worker, &out, sizeof out);
  if (own >= 0) close(own);
  lock(worker);
}

void do_fsync(struct worker *worker, const void *body, size_t size) {
  const struct fuse_fsync_in *in = body;
  int own;
  if (size < sizeof *in) return fail(worker, EINVAL);
  int fd = borrow(worker, worker->request->nodeid, in->fh, O_RDONLY, &own);
  if (fd < 0) return fail(worker, errno);
  stop_leading(worker);
  unlock(worker);
  int failed = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(fd) : fsync(fd);
  fail(worker, failed ? errno : 0);
  if (own >= 0) close(own);
  lock(worker);
}

void do_fallocate(struct worker *worker, const void *body, size_t size) {
  const struct fuse_fallocate_in *in = body;
  int own;
  if (size < sizeof *in) return fail(worker, EINVAL);
  int fd = borrow(worker, worker->request->nodeid, in->fh, O_RDWR, &own);
  if (fd < 0) return fail(worker, errno);
  stop_leading(worker);
  unlock(worker);
  int error = fallocate(fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? errno : 0;
  // The kernel does not say whether the caller may keep them.
  if (!error && worker->request->uid != 0) clear_privileges(fd);
  fail(worker, error);
  if (own >= 0) close(own);
  lock(worker);
}

void do_lseek(struct worker *worker, const void *body, size_t size) {
  const struct fuse_lseek_in *in = body;
  int own;
  if (size < sizeof *in) return fail(worker, EINVAL);
  if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE) return fail(worker, EINVAL);
  int fd = borrow(worker, worker->request->nodeid, in->fh, O_RDONLY, &own);
  if (fd < 0) return fail(worker, errno);
  struct fuse_lseek_out out;
  off_t at = lseek(fd, (off_t)in->offset, (int)in->whence);
  int error = at < 0 ? errno : 0;
  out.offset = (uint64_t)at;
  if (own >= 0) close(own);
  if (error) return fail(worker, error);
  answer(worker, &out, sizeof out);
}

void do_copy_file_range(struct worker *worker, const void *body, size_t size) {
  const struct fuse_copy_file_range_in *in = body;
  int own_from, own_to;
  if (size < sizeof *in) return fail(worker, EINVAL);
  int from = borrow(worker, worker->request->nodeid, in->fh_in, O_RDONLY, &own_from);
  if (from < 0) return fail(worker, errno);
  int to = borrow(worker, in->nodeid_out, in->fh_out, O_RDWR, &own_to);
  if (to < 0) {
    int error = errno;
    if (own_from >= 0) close(own_from);
    return fail(worker, error);
  }
  stop_leading(worker);
  unlock(worker);
  off_t source = (off_t)in->off_in, target = (off_t)in->off_out;
  size_t want = in->len < (1u << 30) ? in->len : 1u << 30;
  ssize_t count = copy_file_range(from, &source, to, &target, want, (unsigned)in->flags);
  struct fuse_write_out out = {.size = count < 0 ? 0 : (uint32_t)count};
  if (count >= 0 && worker->request->uid != 0) clear_privileges(to);
  if (count < 0)
    fail(worker, errno == EXDEV ? EOPNOTSUPP : errno);
  else
    answer(worker, &out, sizeof out);
  if (own_from >= 0) close(own_from);
  if (own_to >= 0) close(own_to);
  lock(worker);
}
