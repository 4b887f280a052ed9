#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "transport.h"

// Layers never change: what the kernel knows it may know for ever. As in CFuse.
#define FOREVER 2147483647.0
#define LARGEST_WRITE (1u << 20)

static const clibfuse *session_of(fuse_req_t request) { return fuse_req_userdata(request); }
static const cfuse_tree *tree_of(fuse_req_t request) { return session_of(request)->service.tree; }

// The node, or NULL with the request answered.
static const cfuse_node *node_of(fuse_req_t request, fuse_ino_t inode) {
  const cfuse_tree *tree = tree_of(request);
  if (inode != 0 && inode <= tree->node_count) return &tree->nodes[inode - 1];
  fuse_reply_err(request, ESTALE);
  return NULL;
}

static struct stat status_of(const cfuse_tree *tree, uint32_t place) {
  const cfuse_node *node = &tree->nodes[place];
  return (struct stat){
      .st_ino = (uint64_t)place + 1,
      .st_size = (off_t)node->size,
      .st_blocks = (blkcnt_t)((node->size + 511) / 512),
      .st_atim = {node->seconds, node->nanoseconds},
      .st_mtim = {node->seconds, node->nanoseconds},
      .st_ctim = {node->seconds, node->nanoseconds},
      .st_mode = node->mode,
      .st_nlink = node->links,
      .st_uid = node->owner,
      .st_gid = node->group,
      .st_rdev = makedev(node->major, node->minor),
      .st_blksize = 4096,
  };
}

static struct fuse_entry_param entry_of(const cfuse_tree *tree, uint32_t place) {
  return (struct fuse_entry_param){.ino = (uint64_t)place + 1, .attr = status_of(tree, place), .attr_timeout = FOREVER, .entry_timeout = FOREVER};
}

static void init(void *data, struct fuse_conn_info *connection) {
  clibfuse *session = data;
  session->passes = session->service.state && clibfuse_may_pass(session);
  if (session->service.state && !session->passes) cfuse_state_refuse(session->service.state, EOPNOTSUPP);
  connection->max_write = connection->max_readahead = LARGEST_WRITE;
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  // Splicing costs more than it saves; READDIRPLUS always, not when the kernel feels like it.
  connection->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS_AUTO);
  connection->want |= connection->capable & (FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_READDIRPLUS | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ);
}

static void lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
  const cfuse_node *node = node_of(request, parent);
  if (!node) return;
  if (!S_ISDIR(node->mode)) return (void)fuse_reply_err(request, ENOTDIR);
  int64_t found = cfuse_find(tree_of(request), (uint32_t)(parent - 1), name, strlen(name));
  // No inode is remembered too: nothing is called so, and never will be.
  struct fuse_entry_param entry = found >= 0 ? entry_of(tree_of(request), (uint32_t)found) : (struct fuse_entry_param){.entry_timeout = FOREVER};
  fuse_reply_entry(request, &entry);
}

static void forget(fuse_req_t request, fuse_ino_t inode, uint64_t count) {
  (void)inode, (void)count;
  fuse_reply_none(request);
}

static void forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgotten) {
  (void)count, (void)forgotten;
  fuse_reply_none(request);
}

static void getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  (void)file;
  if (!node_of(request, inode)) return;
  struct stat status = status_of(tree_of(request), (uint32_t)(inode - 1));
  fuse_reply_attr(request, &status, FOREVER);
}

static void read_link(fuse_req_t request, fuse_ino_t inode) {
  const cfuse_node *node = node_of(request, inode);
  if (!node) return;
  if (!S_ISLNK(node->mode)) return (void)fuse_reply_err(request, EINVAL);
  fuse_reply_buf(request, (const char *)tree_of(request)->text + node->target, node->target_length);
}

// Entries 0 and 1 are "." and ".."; what stands at `offset` is the next to be told.
static void list(fuse_req_t request, fuse_ino_t inode, size_t room, off_t offset, int plus) {
  const cfuse_node *node = node_of(request, inode);
  if (!node) return;
  if (!S_ISDIR(node->mode)) return (void)fuse_reply_err(request, ENOTDIR);
  if (room > LARGEST_WRITE) room = LARGEST_WRITE;
  char *buffer = malloc(room), text[256];
  if (!buffer) return (void)fuse_reply_err(request, ENOMEM);
  const cfuse_tree *tree = tree_of(request);
  size_t used = 0;
  for (uint64_t next = (uint64_t)offset; next < (uint64_t)node->count + 2; next++) {
    const cfuse_name *name = next < 2 ? NULL : &tree->names[node->first + (next - 2)];
    uint32_t child = next == 0 ? (uint32_t)(inode - 1) : next == 1 ? node->parent : name->node;
    const char *source = name ? (const char *)tree->text + name->text : "..";
    size_t length = name ? name->length : next + 1;
    // The kernel would refuse the whole list.
    if (length >= sizeof text) continue;
    memcpy(text, source, length);
    text[length] = 0;
    struct fuse_entry_param entry = entry_of(tree, child);
    // An inode 0 says: no entry, the name alone.
    if (!name) entry.ino = 0;
    size_t whole = plus ? fuse_add_direntry_plus(request, buffer + used, room - used, text, &entry, (off_t)next + 1)
                        : fuse_add_direntry(request, buffer + used, room - used, text, &entry.attr, (off_t)next + 1);
    if (whole > room - used) break;
    used += whole;
  }
  fuse_reply_buf(request, buffer, used);
  free(buffer);
}

static void readdir(fuse_req_t request, fuse_ino_t inode, size_t room, off_t offset, struct fuse_file_info *file) {
  (void)file;
  list(request, inode, room, offset, 0);
}

static void readdirplus(fuse_req_t request, fuse_ino_t inode, size_t room, off_t offset, struct fuse_file_info *file) {
  (void)file;
  list(request, inode, room, offset, 1);
}

static void getxattr(fuse_req_t request, fuse_ino_t inode, const char *name, size_t room) {
  const cfuse_node *node = node_of(request, inode);
  if (!node) return;
  const cfuse_tree *tree = tree_of(request);
  size_t length = strlen(name);
  for (uint32_t i = 0; i < node->attribute_count; i++) {
    const cfuse_attribute *attribute = &tree->attributes[node->attribute + i];
    if (attribute->name_length != length || memcmp(tree->text + attribute->name, name, length) != 0) continue;
    if (room == 0) return (void)fuse_reply_xattr(request, attribute->value_length);
    if (attribute->value_length > room) return (void)fuse_reply_err(request, ERANGE);
    return (void)fuse_reply_buf(request, (const char *)tree->text + attribute->value, attribute->value_length);
  }
  fuse_reply_err(request, ENODATA);
}

static void listxattr(fuse_req_t request, fuse_ino_t inode, size_t room) {
  const cfuse_node *node = node_of(request, inode);
  if (!node) return;
  const cfuse_tree *tree = tree_of(request);
  size_t size = 0, used = 0;
  for (uint32_t i = 0; i < node->attribute_count; i++) size += tree->attributes[node->attribute + i].name_length + 1;
  if (room == 0) return (void)fuse_reply_xattr(request, size);
  if (size > room) return (void)fuse_reply_err(request, ERANGE);
  char *names = malloc(size + 1);
  if (!names) return (void)fuse_reply_err(request, ENOMEM);
  for (uint32_t i = 0; i < node->attribute_count; i++) {
    const cfuse_attribute *attribute = &tree->attributes[node->attribute + i];
    memcpy(names + used, tree->text + attribute->name, attribute->name_length);
    used += attribute->name_length;
    names[used++] = 0;
  }
  fuse_reply_buf(request, names, used);
  free(names);
}

static void statfs(fuse_req_t request, fuse_ino_t inode) {
  (void)inode;
  const cfuse_tree *tree = tree_of(request);
  struct statvfs out = {.f_bsize = 4096, .f_frsize = 4096, .f_blocks = (tree->bytes + 4095) / 4096, .f_files = tree->node_count, .f_namemax = 255};
  fuse_reply_statfs(request, &out);
}

static void read_file(fuse_req_t request, fuse_ino_t inode, size_t count, off_t offset, struct fuse_file_info *file) {
  (void)file;
  const cfuse_node *node = node_of(request, inode);
  if (!node) return;
  if (!S_ISREG(node->mode)) return (void)fuse_reply_err(request, EISDIR);
  if ((uint64_t)offset >= node->size || count == 0) return (void)fuse_reply_buf(request, NULL, 0);
  const clibfuse *session = session_of(request);
  uint64_t left = node->size - (uint64_t)offset;
  cfuse_count_read(&session->service);
  uint32_t wanted = (uint32_t)(left < count ? left : count);
  uint64_t number = (uint64_t)(uintptr_t)request;
  uint32_t thread = (uint32_t)fuse_req_ctx(request)->pid;
  session->service.read(session->service.context, session->device, number, thread, (uint32_t)(inode - 1), (uint64_t)offset, wanted);
}

static void open_file(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  const clibfuse *session = session_of(request);
  if (!node_of(request, inode)) return;
  if ((file->flags & O_ACCMODE) != O_RDONLY) return (void)fuse_reply_err(request, EROFS);
  cfuse_opened opened;
  int error = cfuse_open_node(session->device, &session->service, (uint32_t)(inode - 1), 0, &opened);
  if (error != 0) return (void)fuse_reply_err(request, error);
  // The whole answer by hand: fuse_reply_open of 3.14 has no place for a backing file's number.
  struct {
    uint64_t handle;
    uint32_t flags;
    int32_t backing;
  } out = {.flags = opened.flags, .backing = opened.backing};
  if (fuse_reply_buf(request, (const char *)&out, sizeof out) != 0) cfuse_release_node(session->device, &session->service, (uint32_t)(inode - 1));
}

static void release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  (void)file;
  const clibfuse *session = session_of(request);
  if (!node_of(request, inode)) return;
  fuse_reply_err(request, 0);
  cfuse_release_node(session->device, &session->service, (uint32_t)(inode - 1));
}

static void not_asked_again(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
  (void)inode, (void)file;
  fuse_reply_err(request, ENOSYS);
}

// A mount that may be written to is none: every change is refused, as the raw transport does.
#define REFUSE(name, ...) \
  static void name(fuse_req_t request, ##__VA_ARGS__) { fuse_reply_err(request, EROFS); }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
REFUSE(no_setattr, fuse_ino_t inode, struct stat *status, int which, struct fuse_file_info *file)
REFUSE(no_mknod, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
REFUSE(no_mkdir, fuse_ino_t parent, const char *name, mode_t mode)
REFUSE(no_unlink, fuse_ino_t parent, const char *name)
REFUSE(no_symlink, const char *target, fuse_ino_t parent, const char *name)
REFUSE(no_rename, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name, unsigned flags)
REFUSE(no_link, fuse_ino_t inode, fuse_ino_t parent, const char *name)
REFUSE(no_write, fuse_ino_t inode, const char *bytes, size_t count, off_t offset, struct fuse_file_info *file)
REFUSE(no_setxattr, fuse_ino_t inode, const char *name, const char *value, size_t count, int flags)
REFUSE(no_removexattr, fuse_ino_t inode, const char *name)
REFUSE(no_create, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file)
REFUSE(no_fallocate, fuse_ino_t inode, int mode, off_t offset, off_t count, struct fuse_file_info *file)
#pragma GCC diagnostic pop

#define SHARED                                                                                                                                    \
  .init = init, .lookup = lookup, .forget = forget, .forget_multi = forget_multi, .getattr = getattr, .readlink = read_link, .readdir = readdir,  \
  .readdirplus = readdirplus, .getxattr = getxattr, .listxattr = listxattr, .statfs = statfs, .read = read_file, .opendir = not_asked_again,      \
  .flush = not_asked_again, .setattr = no_setattr, .mknod = no_mknod, .mkdir = no_mkdir, .unlink = no_unlink, .rmdir = no_unlink,                 \
  .symlink = no_symlink, .rename = no_rename, .link = no_link, .write = no_write, .setxattr = no_setxattr, .removexattr = no_removexattr,         \
  .create = no_create, .fallocate = no_fallocate

const struct fuse_lowlevel_ops clibfuse_operations = {SHARED, .open = not_asked_again};
const struct fuse_lowlevel_ops clibfuse_operations_with_opens = {SHARED, .open = open_file, .release = release};
