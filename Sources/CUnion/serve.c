// The device: reads requests, hands them to their handlers, writes answers.
//
// One thread leads: it takes requests and answers them itself, as long as that needs no waiting for data. Before it waits it stops leading, and another thread
// takes the lead. So the tree's lock has one user nearly always, and waking a thread per request is not needed.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "CIdle.h"
#include "union.h"

// How long the leader looks for the next request before it sleeps, in nanoseconds: whoever has just been answered asks again soon, and to be woken takes
// longer. Who has read a directory makes its inodes first.
#define SPIN 40000
#define SPIN_AFTER_LISTING 100000

void stop_leading(struct worker *worker) {
  if (!worker->leads) return;
  worker->leads = 0;
  pthread_mutex_unlock(&worker->tree->lead);
}

static int put(int device, struct iovec *parts, int count) {
  for (;;) {
    if (writev(device, parts, count) >= 0) return 0;
    if (errno != EINTR && errno != EAGAIN) return errno;
  }
}

// Requests that must not be carried out twice as if they were two; those that the kernel does not send again because they are not answered; and listings, whose
// answers are too long to be stored: they are given again from the same tree, and count the same lookups, whether the kernel takes the answer or has it.
static int is_recorded(uint32_t opcode) {
  switch (opcode) {
    case FUSE_SYMLINK: case FUSE_MKNOD: case FUSE_MKDIR: case FUSE_UNLINK: case FUSE_RMDIR: case FUSE_RENAME: case FUSE_RENAME2: case FUSE_LINK:
    case FUSE_CREATE: case FUSE_SETXATTR: case FUSE_REMOVEXATTR: case FUSE_FORGET: case FUSE_BATCH_FORGET: case FUSE_READDIRPLUS: return 1;
    default: return 0;
  }
}

// From here on a successor would go on with this request.
void begin_change(struct worker *worker) {
  struct state *state = worker->tree->state;
  if (!worker->tree->logs || !is_recorded(worker->request->opcode) || worker->request->len > LARGEST_CHANGE) return;
  atomic_store_explicit(&state->change_size, 0, memory_order_relaxed);
  memcpy(state->change, worker->request, worker->request->len);
  atomic_store_explicit(&state->begun, (uint32_t)worker->again, memory_order_relaxed);
  if (!worker->again) state->moved = 0;
  state->change_of = change_number(worker->tree);
  atomic_store_explicit(&state->change_size, worker->request->len, memory_order_release);
  // Not before it is written down here, and not after somebody else may have read another.
  if (worker->is_incoming) atomic_store_explicit((_Atomic uint32_t *)(void *)state->incoming, 0, memory_order_release);
  worker->is_incoming = 0;
}

// What was done so far stands by itself.
void pause_change(struct worker *worker) { change_ends(worker->tree, NULL, 0); }

// Everything is checked; now something on disk will be changed.
void begin(struct worker *worker) {
  if (worker->tree->logs) atomic_store_explicit(&worker->tree->state->begun, 1, memory_order_release);
}

void unlock(struct worker *worker) {
  pause_change(worker);
  worker->locked = 0;
  pthread_mutex_unlock(&worker->tree->lock);
}

void lock(struct worker *worker) {
  pthread_mutex_lock(&worker->tree->lock);
  worker->locked = 1;
  worker->tree->operation++;
  worker->tree->let_go++;
  begin_change(worker);
  worker->is_incoming = 0;
}

// With the lock held it is the change's last step, and written down before the kernel has it.
static void settle(struct worker *worker, const struct iovec *parts, int count) {
  uint8_t reply[LARGEST_REPLY];
  size_t size = 0;
  if (!worker->locked || !worker->tree->logs || worker->request->opcode == FUSE_READDIRPLUS) return;
  for (int i = 0; i < count; i++) {
    if (size + parts[i].iov_len > sizeof reply) return change_ends(worker->tree, NULL, 0);
    if (parts[i].iov_len) memcpy(reply + size, parts[i].iov_base, parts[i].iov_len);
    size += parts[i].iov_len;
  }
  change_ends(worker->tree, reply, size);
}

void answer_two(struct worker *worker, const void *first, size_t first_size, const void *second, size_t second_size) {
  struct fuse_out_header head = {.len = (uint32_t)(sizeof head + first_size + second_size), .unique = worker->request->unique};
  struct iovec parts[3] = {{&head, sizeof head}, {(void *)first, first_size}, {(void *)second, second_size}};
  int count = second_size ? 3 : first_size ? 2 : 1;
  settle(worker, parts, count);
  if (worker->way) return worker->way->answer(worker->context, 0, parts + 1, count - 1);
  // ENOENT: the request was given up.
  put(worker->device, parts, count);
}

void answer(struct worker *worker, const void *bytes, size_t count) { answer_two(worker, bytes, count, NULL, 0); }

void fail(struct worker *worker, int error) {
  struct fuse_out_header head = {.len = sizeof head, .error = -error, .unique = worker->request->unique};
  struct iovec part = {&head, sizeof head};
  settle(worker, &part, 1);
  if (worker->way) return worker->way->answer(worker->context, error, NULL, 0);
  put(worker->device, &part, 1);
}

// Makes the kernel ask for a file's attributes again.
void forget_attributes(struct worker *worker, uint64_t number) {
  if (worker->way) return worker->way->forget_attributes(worker->context, number);
  struct fuse_notify_inval_inode_out note = {.ino = number, .off = -1};
  struct fuse_out_header head = {.len = sizeof head + sizeof note, .error = FUSE_NOTIFY_INVAL_INODE};
  struct iovec parts[2] = {{&head, sizeof head}, {&note, sizeof note}};
  put(worker->device, parts, 2);
}

// Puts a file's beginning into the kernel's page cache.
int store(struct worker *worker, uint64_t number, const void *bytes, size_t count) {
  if (worker->way) return worker->way->store(worker->context, number, bytes, count);
  struct fuse_notify_store_out note = {.nodeid = number, .size = (uint32_t)count};
  struct fuse_out_header head = {.len = (uint32_t)(sizeof head + sizeof note + count), .error = FUSE_NOTIFY_STORE};
  struct iovec parts[3] = {{&head, sizeof head}, {&note, sizeof note}, {(void *)bytes, count}};
  return put(worker->device, parts, 3);
}

static void init(struct worker *worker, const void *body, size_t size) {
  const struct fuse_init_in *in = body;
  struct union_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
  if (size < 16 || in->major < FUSE_KERNEL_VERSION) return fail(worker, EPROTO);
  // To a newer major version the answer is ours alone; the kernel asks again.
  if (in->major == FUSE_KERNEL_VERSION) {
    uint64_t offered = in->flags;
    if (offered & FUSE_INIT_EXT && size >= 20) offered |= (uint64_t)in->flags2 << 32;
    uint64_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_DO_READDIRPLUS | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
                      FUSE_POSIX_ACL | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_NO_OPENDIR_SUPPORT | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT |
                      FUSE_INIT_EXT | UNION_HAS_RESEND;
    if (worker->tree->passthrough) wanted |= UNION_PASSTHROUGH | FUSE_ATOMIC_O_TRUNC;
    wanted &= offered;
    worker->tree->passing = worker->tree->passthrough = !!(wanted & UNION_PASSTHROUGH);
    if (!worker->tree->passing) wanted &= ~(uint64_t)FUSE_ATOMIC_O_TRUNC;
    // From 40 on the kernel tells how deep file systems may be stacked.
    out.minor = in->minor < 41 ? in->minor : 41;
    out.flags = (uint32_t)wanted;
    out.flags2 = (uint32_t)(wanted >> 32);
    out.max_readahead = 1u << 20;
    out.max_background = 64;
    out.congestion_threshold = 48;
    out.max_write = LARGEST_WRITE;
    out.max_pages = LARGEST_WRITE / 4096;
    out.time_gran = 1;
    out.max_stack_depth = worker->tree->passing;
    worker->tree->state->passthrough = worker->tree->passthrough;
    worker->tree->state->passing = worker->tree->passing;
    worker->tree->state->negotiated = 1;
  }
  answer(worker, &out, sizeof out);
}

static void forget(cunion *tree, uint64_t number, uint64_t count) {
  struct node *node = node_edit(tree, number);
  if (!node) return;
  node->lookups -= count < node->lookups ? count : node->lookups;
  if (node->lookups) return;
  node->state &= ~NODE_PUSHED;
  node->flags &= (uint16_t)~NODE_MAPPED;
  node_release(tree, (uint32_t)number);
}

static void forget_many(cunion *tree, const void *body, size_t size) {
  const struct fuse_batch_forget_in *in = body;
  const struct fuse_forget_one *one = (const struct fuse_forget_one *)(in + 1);
  if (size < sizeof *in) return;
  for (uint32_t i = 0; i < in->count && sizeof *in + (i + 1) * sizeof *one <= size; i++) forget(tree, one[i].nodeid, one[i].nlookup);
}

static handler *const handlers[] = {
    [FUSE_LOOKUP] = do_lookup,           [FUSE_GETATTR] = do_getattr,   [FUSE_SETATTR] = do_setattr,
    [FUSE_READLINK] = do_readlink,       [FUSE_SYMLINK] = do_symlink,   [FUSE_MKNOD] = do_mknod,
    [FUSE_MKDIR] = do_mkdir,             [FUSE_UNLINK] = do_unlink,     [FUSE_RMDIR] = do_rmdir,
    [FUSE_RENAME] = do_rename,           [FUSE_RENAME2] = do_rename2,   [FUSE_LINK] = do_link,
    [FUSE_OPEN] = do_open,               [FUSE_READ] = do_read,         [FUSE_WRITE] = do_write,
    [FUSE_STATFS] = do_statfs,           [FUSE_RELEASE] = do_release,   [FUSE_FSYNC] = do_fsync,
    [FUSE_SETXATTR] = do_setxattr,       [FUSE_GETXATTR] = do_getxattr, [FUSE_LISTXATTR] = do_listxattr,
    [FUSE_REMOVEXATTR] = do_removexattr, [FUSE_FSYNCDIR] = do_fsyncdir, [FUSE_CREATE] = do_create,
    [FUSE_FALLOCATE] = do_fallocate,     [FUSE_READDIR] = do_readdir,   [FUSE_READDIRPLUS] = do_readdir,
    [FUSE_LSEEK] = do_lseek,             [FUSE_SYNCFS] = do_syncfs,     [FUSE_COPY_FILE_RANGE] = do_copy_file_range,
    [FUSE_TMPFILE] = do_tmpfile,
};

void handle_request(struct worker *worker, const struct fuse_in_header *request, size_t length) {
  cunion *tree = worker->tree;
  const void *body = request + 1;
  // Extensions stand after the body.
  size_t size = length - sizeof *request, extensions = (size_t)request->total_extlen * 8;
  if (extensions <= size) size -= extensions;
  worker->request = request;
  switch (request->opcode) {
    case FUSE_INIT: return init(worker, body, size);
    case FUSE_DESTROY: return fail(worker, 0);
    case FUSE_INTERRUPT: return;
    default: break;
  }
  lock(worker);
  if (request->opcode == FUSE_FORGET && size >= sizeof(struct fuse_forget_in))
    forget(tree, request->nodeid, ((const struct fuse_forget_in *)body)->nlookup);
  else if (request->opcode == FUSE_BATCH_FORGET)
    forget_many(tree, body, size);
  else if (request->opcode >= sizeof handlers / sizeof *handlers || !handlers[request->opcode])
    // Among them OPENDIR, RELEASEDIR, FLUSH, ACCESS and locks: the kernel does without, and asks no more.
    fail(worker, ENOSYS);
  else if (!node_at(tree, request->nodeid))
    fail(worker, ESTALE);
  else
    handlers[request->opcode](worker, body, size);
  unlock(worker);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static ssize_t receive(struct worker *worker) {
  if (!worker->tree->logs) return read(worker->device, worker->in, BUFFER);
  uint8_t *incoming = worker->tree->state->incoming;
  // What is written here in part, or not at all, forgets nothing.
  memset(incoming, 0, sizeof(struct fuse_in_header) + sizeof(struct fuse_forget_in));
  struct iovec parts[2] = {{incoming, LARGEST_FORGET}, {worker->in + LARGEST_FORGET, BUFFER - LARGEST_FORGET}};
  ssize_t count = readv(worker->device, parts, 2);
  if (count <= 0) return count;
  memcpy(worker->in, incoming, count < LARGEST_FORGET ? (size_t)count : LARGEST_FORGET);
  worker->is_incoming = 1;
  return count;
}

static ssize_t next_request(struct worker *worker) {
  uint64_t start = 0, spin = worker->request && worker->request->opcode == FUSE_READDIRPLUS ? SPIN_AFTER_LISTING : SPIN;
  for (;;) {
    ssize_t count = receive(worker);
    // ENOENT: the request was given up before it was read.
    if (count >= 0 || (errno != EINTR && errno != EAGAIN && errno != ENOENT)) return count;
    if (errno != EAGAIN) continue;
    uint64_t time = now();
    if (!start) start = time;
    if (time - start < spin) {
      sched_yield();
      continue;
    }
    struct pollfd wait = {.fd = worker->device, .events = POLLIN};
    poll(&wait, 1, -1);
    start = 0;
  }
}

cunion_worker *cunion_worker_open(cunion *tree, int device, const struct cunion_way *way, void *context) {
  struct worker *worker = calloc(1, sizeof *worker);
  if (!worker) return NULL;
  // By this a mount that the union stands on knows that it is one reader, whichever of its threads reads.
  prctl(PR_SET_NAME, "ref-union");
  *worker = (struct worker){.tree = tree, .device = device, .way = way, .context = context, .user = geteuid(), .group = getegid()};
  // A mask of its own. Without that right (it needs none) the process's would be changed.
  int error = unshare(CLONE_FS) < 0 ? errno : 0;
  worker->mask = umask(0);
  umask(worker->mask);
  if (!error && !way) error = posix_memalign((void **)&worker->in, 4096, BUFFER);
  if (!error) error = posix_memalign((void **)&worker->out, 4096, BUFFER);
  if (!error) return worker;
  free(worker->in);
  free(worker);
  errno = error;
  return NULL;
}

void cunion_worker_close(cunion_worker *worker) {
  become(worker, geteuid(), getegid());
  free(worker->in);
  free(worker->out);
  free(worker);
}

void cunion_carry_out(cunion_worker *worker, const void *request, size_t size) {
  const struct fuse_in_header *head = request;
  if (head->opcode == FUSE_INIT) return fail(worker, EPROTO);
  handle_request(worker, head, size);
}

int cunion_agree(cunion *tree, int offered) {
  tree->passthrough = tree->passthrough && offered;
  return tree->passing = tree->passthrough;
}

int cunion_serve(cunion *tree, int device) {
  struct worker *worker = cunion_worker_open(tree, device, NULL, NULL);
  if (!worker) return errno;
  int result = 0, has_led = 0;
  for (;;) {
    if (!worker->leads) pthread_mutex_lock(&tree->lead);
    worker->leads = 1;
    // The kernel ends a request with EIO if the one who reads it is killed while memory for it has still to be found.
    if (!has_led && tree->logs) memset(worker->in, 0, BUFFER);
    has_led = 1;
    ssize_t count = next_request(worker);
    if (count < 0) {
      // Unmounted; ECONNABORTED if that was while a request was being read.
      result = errno == ENODEV || errno == ECONNABORTED ? 0 : errno;
      break;
    }
    const struct fuse_in_header *request = (const struct fuse_in_header *)worker->in;
    if ((size_t)count < sizeof *request || request->len != (uint32_t)count) {
      result = EPROTO;
      break;
    }
    handle_request(worker, request, (size_t)count);
    if (request->opcode != FUSE_FORGET && request->opcode != FUSE_BATCH_FORGET) cidle_answered();
  }
  stop_leading(worker);
  cunion_worker_close(worker);
  return result;
}
