// A union's requests through libfuse: what libfuse has taken apart is put together again as the device gives it, and carried out by CUnion.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "transport.h"

#define LARGEST_WRITE (1u << 20)
// A header, the largest body before its data (an extended attribute's, a write's), a name, and the data.
#define ROOM (LARGEST_WRITE + 4096)
#define MOST_GROUPS 65536

// A thread that serves: the request it is at, as the device would have given it.
struct thread {
  clibfuse *session;
  cunion_worker *worker;
  fuse_req_t request;
  // Where the answer goes instead, when the question is our own.
  void *wanted;
  size_t room;
  int failed;
  size_t size;
  uint8_t bytes[ROOM];
};

static _Thread_local struct thread *here;

static void answer(void *context, int error, const struct iovec *parts, int count) {
  struct thread *thread = context;
  if (thread->wanted) {
    thread->failed = error ? error : count == 1 && parts[0].iov_len >= thread->room ? 0 : EIO;
    if (!thread->failed) memcpy(thread->wanted, parts[0].iov_base, thread->room);
  } else if (error || count == 0) {
    fuse_reply_err(thread->request, error);
  } else {
    fuse_reply_iov(thread->request, parts, count);
  }
}

static void forget_attributes(void *context, uint64_t inode) {
  fuse_lowlevel_notify_inval_inode(((struct thread *)context)->session->session, inode, -1, 0);
}

static int store(void *context, uint64_t inode, const void *bytes, size_t count) {
  struct fuse_bufvec data = FUSE_BUFVEC_INIT(count);
  data.buf[0].mem = (void *)bytes;
  return -fuse_lowlevel_notify_store(((struct thread *)context)->session->session, inode, 0, &data, 0);
}

static const struct cunion_way way = {.answer = answer, .forget_attributes = forget_attributes, .store = store};

// Putting a request together.

static void begin(fuse_req_t request, uint32_t opcode, fuse_ino_t inode) {
  const struct fuse_ctx *caller = fuse_req_ctx(request);
  struct fuse_in_header head = {.opcode = opcode, .nodeid = inode, .uid = caller->uid, .gid = caller->gid, .pid = (uint32_t)caller->pid};
  here->request = request;
  here->size = sizeof head;
  memcpy(here->bytes, &head, sizeof head);
}

static void add(const void *bytes, size_t count) {
  // More than the kernel may send does not come: names are at most 255 bytes, data at most what INIT has agreed on.
  if (count > ROOM - here->size) abort();
  if (count) memcpy(here->bytes + here->size, bytes, count);
  here->size += count;
}

static void add_name(const char *name) { add(name, strlen(name) + 1); }

static void carry_out(void) {
  struct fuse_in_header *head = (struct fuse_in_header *)here->bytes;
  head->len = (uint32_t)here->size;
  cunion_carry_out(here->worker, head, here->size);
}

// `...`: the members of the body's structure.
#define ASK(opcode, inode, type, ...)       \
  struct type in = {__VA_ARGS__};           \
  begin(request, opcode, inode);            \
  add(&in, sizeof in)

static void init(void *data, struct fuse_conn_info *connection) {
  clibfuse *session = data;
  connection->max_write = connection->max_readahead = LARGEST_WRITE;
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  connection->time_gran = 1;
  session->passes = cunion_agree(session->tree, clibfuse_may_pass(session));
  // What is not asked for here the kernel does itself: among it to take S_ISUID away from what is written to.
  unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_DONT_MASK | FUSE_CAP_READDIRPLUS | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_ACL |
                    FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT;
  if (session->passes) wanted |= FUSE_CAP_ATOMIC_O_TRUNC;
  connection->want = connection->capable & wanted;
}

static void lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
  begin(request, FUSE_LOOKUP, parent);
  add_name(name);
  carry_out();
}

static void forget(fuse_req_t request, fuse_ino_t inode, uint64_t count) {
  ASK(FUSE_FORGET, inode, fuse_forget_in, .nlookup = count);
  carry_out();
  fuse_reply_none(request);
}

static void forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgotten) {
  for (size_t i = 0; i < count; i++) {
    ASK(FUSE_FORGET, forgotten[i].ino, fuse_forget_in, .nlookup = forgotten[i].nlookup);
    carry_out();
  }
  fuse_reply_none(request);
}

static void getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  ASK(FUSE_GETATTR, inode, fuse_getattr_in, .getattr_flags = file ? FUSE_GETATTR_FH : 0, .fh = file ? file->fh : 0);
  carry_out();
}

static void setattr(fuse_req_t request, fuse_ino_t inode, struct stat *status, int which, struct fuse_file_info *file) {
  // libfuse's bits are the kernel's.
  ASK(FUSE_SETATTR, inode, fuse_setattr_in, .valid = (uint32_t)which | (file ? FATTR_FH : 0), .fh = file ? file->fh : 0, .size = (uint64_t)status->st_size,
      .atime = (uint64_t)status->st_atim.tv_sec, .mtime = (uint64_t)status->st_mtim.tv_sec, .ctime = (uint64_t)status->st_ctim.tv_sec,
      .atimensec = (uint32_t)status->st_atim.tv_nsec, .mtimensec = (uint32_t)status->st_mtim.tv_nsec, .ctimensec = (uint32_t)status->st_ctim.tv_nsec,
      .mode = status->st_mode, .uid = status->st_uid, .gid = status->st_gid);
  carry_out();
}

static void read_link(fuse_req_t request, fuse_ino_t inode) {
  begin(request, FUSE_READLINK, inode);
  carry_out();
}

static void make_node(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device) {
  // As the kernel has put it (include/linux/kdev_t.h, new_encode_dev); libfuse hands it on as it is.
  ASK(FUSE_MKNOD, parent, fuse_mknod_in, .mode = mode, .rdev = (uint32_t)device, .umask = fuse_req_ctx(request)->umask);
  add_name(name);
  carry_out();
}

static void make_directory(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode) {
  ASK(FUSE_MKDIR, parent, fuse_mkdir_in, .mode = mode, .umask = fuse_req_ctx(request)->umask);
  add_name(name);
  carry_out();
}

static void remove_name(fuse_req_t request, fuse_ino_t parent, const char *name) {
  begin(request, FUSE_UNLINK, parent);
  add_name(name);
  carry_out();
}

static void remove_directory(fuse_req_t request, fuse_ino_t parent, const char *name) {
  begin(request, FUSE_RMDIR, parent);
  add_name(name);
  carry_out();
}

static void symbolic_link(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name) {
  begin(request, FUSE_SYMLINK, parent);
  add_name(name);
  add_name(target);
  carry_out();
}

static void move(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name, unsigned flags) {
  ASK(FUSE_RENAME2, parent, fuse_rename2_in, .newdir = new_parent, .flags = flags);
  add_name(name);
  add_name(new_name);
  carry_out();
}

static void hard_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t new_parent, const char *new_name) {
  ASK(FUSE_LINK, new_parent, fuse_link_in, .oldnodeid = inode);
  add_name(new_name);
  carry_out();
}

static void open_file(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  // With O_TRUNC in OPEN nobody else takes these away; CAP_FSETID is taken for the first user's.
  uint32_t kills = file->flags & O_TRUNC && fuse_req_ctx(request)->uid != 0 ? FUSE_OPEN_KILL_SUIDGID : 0;
  ASK(FUSE_OPEN, inode, fuse_open_in, .flags = (uint32_t)file->flags, .open_flags = kills);
  carry_out();
}

static void create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file) {
  ASK(FUSE_CREATE, parent, fuse_create_in, .flags = (uint32_t)file->flags, .mode = mode, .umask = fuse_req_ctx(request)->umask);
  add_name(name);
  carry_out();
}

static void release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  ASK(FUSE_RELEASE, inode, fuse_release_in, .fh = file->fh, .flags = (uint32_t)file->flags);
  carry_out();
}

static void read_file(fuse_req_t request, fuse_ino_t inode, size_t count, off_t offset, struct fuse_file_info *file) {
  ASK(FUSE_READ, inode, fuse_read_in, .fh = file->fh, .offset = (uint64_t)offset, .size = (uint32_t)count, .flags = (uint32_t)file->flags);
  carry_out();
}

static void write_file(fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t count, off_t offset, struct fuse_file_info *file) {
  ASK(FUSE_WRITE, inode, fuse_write_in, .fh = file->fh, .offset = (uint64_t)offset, .size = (uint32_t)count,
      .write_flags = file->writepage ? FUSE_WRITE_CACHE : 0, .flags = (uint32_t)file->flags);
  add(bytes, count);
  carry_out();
}

static void sync_file(fuse_req_t request, fuse_ino_t inode, int only_data, struct fuse_file_info *file) {
  ASK(FUSE_FSYNC, inode, fuse_fsync_in, .fh = file->fh, .fsync_flags = only_data ? FUSE_FSYNC_FDATASYNC : 0);
  carry_out();
}

static void sync_directory(fuse_req_t request, fuse_ino_t inode, int only_data, struct fuse_file_info *file) {
  (void)file;
  ASK(FUSE_FSYNCDIR, inode, fuse_fsync_in, .fsync_flags = only_data ? FUSE_FSYNC_FDATASYNC : 0);
  carry_out();
}

static void list(fuse_req_t request, fuse_ino_t inode, size_t room, off_t offset, struct fuse_file_info *file) {
  (void)file;
  ASK(FUSE_READDIR, inode, fuse_read_in, .offset = (uint64_t)offset, .size = (uint32_t)room);
  carry_out();
}

static void list_plus(fuse_req_t request, fuse_ino_t inode, size_t room, off_t offset, struct fuse_file_info *file) {
  (void)file;
  ASK(FUSE_READDIRPLUS, inode, fuse_read_in, .offset = (uint64_t)offset, .size = (uint32_t)room);
  carry_out();
}

static void statistics(fuse_req_t request, fuse_ino_t inode) {
  begin(request, FUSE_STATFS, inode);
  carry_out();
}

// Whether the caller is not in the file's group, and so must not leave it S_ISGID (posix_acl_update_mode in fs/posix_acl.c). The kernel tells it only who
// agrees on FUSE_SETXATTR_EXT, which libfuse 3.14 does not know; CAP_FSETID is taken for the first user's.
static int loses_group_mark(fuse_req_t request, fuse_ino_t inode, const char *name) {
  if (strcmp(name, "system.posix_acl_access") != 0 || fuse_req_ctx(request)->uid == 0) return 0;
  struct fuse_attr_out out;
  ASK(FUSE_GETATTR, inode, fuse_getattr_in, .getattr_flags = 0);
  here->wanted = &out;
  here->room = sizeof out;
  carry_out();
  here->wanted = NULL;
  if (here->failed || out.attr.gid == fuse_req_ctx(request)->gid) return 0;
  int count = fuse_req_getgroups(request, 0, NULL), found = 0;
  int room = count > 0 && count <= MOST_GROUPS ? count : 0;
  gid_t *groups = room ? malloc((size_t)room * sizeof *groups) : NULL;
  if (groups) count = fuse_req_getgroups(request, room, groups);
  // It tells how many there are, which may be more by now.
  if (count > room) count = room;
  for (int i = 0; groups && i < count && !found; i++) found = groups[i] == out.attr.gid;
  free(groups);
  return !found;
}

static void set_attribute(fuse_req_t request, fuse_ino_t inode, const char *name, const char *value, size_t count, int flags) {
  int loses = loses_group_mark(request, inode, name);
  ASK(FUSE_SETXATTR, inode, fuse_setxattr_in, .size = (uint32_t)count, .flags = (uint32_t)flags,
      .setxattr_flags = loses ? FUSE_SETXATTR_ACL_KILL_SGID : 0);
  add_name(name);
  add(value, count);
  carry_out();
}

static void get_attribute(fuse_req_t request, fuse_ino_t inode, const char *name, size_t room) {
  ASK(FUSE_GETXATTR, inode, fuse_getxattr_in, .size = (uint32_t)room);
  add_name(name);
  carry_out();
}

static void list_attributes(fuse_req_t request, fuse_ino_t inode, size_t room) {
  ASK(FUSE_LISTXATTR, inode, fuse_getxattr_in, .size = (uint32_t)room);
  carry_out();
}

static void remove_attribute(fuse_req_t request, fuse_ino_t inode, const char *name) {
  begin(request, FUSE_REMOVEXATTR, inode);
  add_name(name);
  carry_out();
}

static void allocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t count, struct fuse_file_info *file) {
  ASK(FUSE_FALLOCATE, inode, fuse_fallocate_in, .fh = file->fh, .offset = (uint64_t)offset, .length = (uint64_t)count, .mode = (uint32_t)mode);
  carry_out();
}

static void seek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence, struct fuse_file_info *file) {
  ASK(FUSE_LSEEK, inode, fuse_lseek_in, .fh = file->fh, .offset = (uint64_t)offset, .whence = (uint32_t)whence);
  carry_out();
}

static void copy_range(fuse_req_t request, fuse_ino_t inode, off_t offset, struct fuse_file_info *file, fuse_ino_t to, off_t to_offset,
                       struct fuse_file_info *to_file, size_t count, int flags) {
  ASK(FUSE_COPY_FILE_RANGE, inode, fuse_copy_file_range_in, .fh_in = file->fh, .off_in = (uint64_t)offset, .nodeid_out = to, .fh_out = to_file->fh,
      .off_out = (uint64_t)to_offset, .len = count, .flags = (uint64_t)flags);
  carry_out();
}

static void not_asked_again(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  (void)inode, (void)file;
  fuse_reply_err(request, ENOSYS);
}

// FLUSH, ACCESS and locks: libfuse refuses what is not here, and the kernel does without.
static const struct fuse_lowlevel_ops operations = {
    .init = init,
    .lookup = lookup,
    .forget = forget,
    .forget_multi = forget_multi,
    .getattr = getattr,
    .setattr = setattr,
    .readlink = read_link,
    .mknod = make_node,
    .mkdir = make_directory,
    .unlink = remove_name,
    .rmdir = remove_directory,
    .symlink = symbolic_link,
    .rename = move,
    .link = hard_link,
    .open = open_file,
    .create = create,
    .release = release,
    .read = read_file,
    .write = write_file,
    .fsync = sync_file,
    .opendir = not_asked_again,
    .readdir = list,
    .readdirplus = list_plus,
    .fsyncdir = sync_directory,
    .statfs = statistics,
    .setxattr = set_attribute,
    .getxattr = get_attribute,
    .listxattr = list_attributes,
    .removexattr = remove_attribute,
    .fallocate = allocate,
    .lseek = seek,
    .copy_file_range = copy_range,
};

clibfuse *clibfuse_union(cunion *tree, const char *target, const char *source) {
  clibfuse *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  made->tree = tree;
  int device = cunion_mount(target, source), error = device < 0 ? errno : clibfuse_begin(made, &operations, sizeof operations, device, target);
  if (error == 0) return made;
  free(made);
  errno = error;
  return NULL;
}

int clibfuse_serve_union(clibfuse *session) {
  struct thread *thread = malloc(sizeof *thread);
  if (!thread) return ENOMEM;
  thread->session = session;
  thread->wanted = NULL;
  thread->worker = cunion_worker_open(session->tree, session->device, &way, thread);
  int error = thread->worker ? 0 : errno;
  here = thread;
  if (!error) error = clibfuse_loop(session);
  here = NULL;
  if (thread->worker) cunion_worker_close(thread->worker);
  free(thread);
  return error;
}
