#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "union.h"

#define FUSE_MAGIC 0x65735546  // statfs(2)

__attribute__((format(printf, 3, 4))) static int say(char *error, size_t size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error, size, format, arguments);
  va_end(arguments);
  return -1;
}

static int open_layer(cunion *tree, const char *path, const char *what, char *error, size_t size) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return say(error, size, "cannot open the %s directory %s: %s", what, path, strerror(errno));
  tree->layers[tree->layer_count++].fd = fd;
  return 0;
}

// Layers of different file systems may use the same inode numbers: those of the upper one's are told as they are, others get a mark.
static void mark_layers(cunion *tree) {
  dev_t devices[256];
  uint64_t count = 0;
  for (uint32_t i = 0; i < tree->layer_count; i++) {
    struct stat file;
    uint64_t which = 0;
    if (fstat(tree->layers[i].fd, &file) < 0) continue;
    while (which < count && devices[which] != file.st_dev) which++;
    if (which == count && count < 256) devices[count++] = file.st_dev;
    tree->layers[i].mark = which << 56;
    struct statfs kind;
    tree->layers[i].fetched = fstatfs(tree->layers[i].fd, &kind) == 0 && kind.f_type == FUSE_MAGIC;
  }
}

// The work directory proper is <work>/work, as in overlayfs. What a server that was killed left there is removed.
static int open_work(cunion *tree, const char *path, const char *upper, char *error, size_t size) {
  struct stat work, above;
  tree->parent_of_work = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (tree->parent_of_work < 0) return say(error, size, "cannot open the work directory %s: %s", path, strerror(errno));
  fstat(tree->parent_of_work, &work);
  fstat(tree->layers[UPPER].fd, &above);
  if (work.st_dev != above.st_dev) return say(error, size, "the work directory %s is on another file system than the upper directory %s", path, upper);
  if (work.st_ino == above.st_ino) return say(error, size, "the work directory %s is the upper directory itself", path);
  int failed = tree->recovers ? 0 : remove_tree(tree->parent_of_work, "work");
  if (failed) return say(error, size, "cannot remove what is left in the work directory %s/work: %s", path, strerror(failed));
  if (!tree->recovers && mkdirat(tree->parent_of_work, "work", 0700) < 0) return say(error, size, "cannot make %s/work: %s", path, strerror(errno));
  tree->work = openat(tree->parent_of_work, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (tree->work < 0) return say(error, size, "cannot open %s/work: %s", path, strerror(errno));
  tree->whiteouts = is_whiteout_at(tree->work, "whiteout");
  failed = set_opaque(tree, tree->work);
  if (failed) return say(error, size, "cannot set the attribute %s in %s/work: %s", tree->opaque, path, strerror(failed));
  fremovexattr(tree->work, tree->opaque);
  return 0;
}

static int open_root(cunion *tree, char *error, size_t size) {
  struct stat file;
  if (fstat(tree->layers[UPPER].fd, &file) < 0) return say(error, size, "cannot look at the upper directory: %s", strerror(errno));
  struct place places[MOST_LAYERS + 1];
  uint16_t count = 0;
  for (uint32_t i = 0; i < tree->layer_count; i++) {
    places[count++] = (struct place){(uint16_t)i, -1, tree->layers[i].catalog.head != NULL};
    if (is_opaque(tree, tree->layers[i].fd)) break;
  }
  uint32_t number = node_new(tree, S_IFDIR, UPPER, ino_of(tree, UPPER, file.st_ino)), piece = pool_new(tree, places, sizeof *places * count);
  if (number != ROOT || !piece) return say(error, size, "cannot allocate memory");
  struct node *root = node_edit(tree, ROOT);
  root->places = piece;
  root->place_count = count;
  root->lookups = 1;
  change_ends(tree, NULL, 0);
  for (uint32_t i = 0; i < tree->layer_count; i++) tree->state->catalogs[i] = catalog_identity(&tree->layers[i].catalog);
  // From here on there is a tree that a successor goes on with.
  tree->state->layers = tree->layer_count;
  return 0;
}

// Not more than a part of the descriptors that this process may have: a lower file that is open takes one too, so as many as can be had.
static void limit_descriptors(cunion *tree) {
  struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  struct rlimit most = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &most) == 0) limit = most;
  rlim_t part = limit.rlim_cur / 8;
  tree->open_most = part < OPEN_DIRECTORIES ? (uint32_t)part : OPEN_DIRECTORIES;
  if (tree->open_most < 16) tree->open_most = 16;
  tree->held_most = part < 65536 ? (uint32_t)part : 65536;
}

cunion *cunion_open(const struct cunion_options *options, char *error, size_t size) {
  cunion *tree = calloc(1, sizeof *tree);
  if (!tree) {
    say(error, size, "cannot allocate memory");
    return NULL;
  }
  pthread_mutex_init(&tree->lock, NULL);
  pthread_mutex_init(&tree->lead, NULL);
  pthread_cond_init(&tree->idle, NULL);
  tree->work = tree->parent_of_work = tree->state_file = -1;
  tree->passthrough = options->passthrough;
  limit_descriptors(tree);
  tree->prefix = options->user_xattr ? "user.overlay." : "trusted.overlay.";
  tree->opaque = options->user_xattr ? "user.overlay.opaque" : "trusted.overlay.opaque";
  int failed = state_open(tree, options->has_state ? options->state : -1);
  if (failed == EPROTO) say(error, size, "the memory of the last server is that of another version");
  else if (failed) say(error, size, "cannot map memory for the tables: %s", strerror(failed));
  if (!failed) tree->recovers = tree->state->layers != 0;
  if (!failed && options->lower_count >= MOST_LAYERS)
    failed = say(error, size, "%zu lower directories are too many: at most %d", options->lower_count, MOST_LAYERS - 1);
  if (!failed && (tables_open(tree) || !(tree->layers = calloc(options->lower_count + 1, sizeof *tree->layers))))
    failed = say(error, size, "cannot allocate memory");
  if (!failed) failed = open_layer(tree, options->upper, "upper", error, size);
  for (size_t i = 0; i < options->lower_count && !failed; i++) {
    failed = open_layer(tree, options->lowers[i], "lower", error, size);
    if (!failed && options->catalogs && options->catalogs[i]) catalog_open(&tree->layers[i + 1].catalog, options->catalogs[i], tree->layers[i + 1].fd);
  }
  if (!failed) mark_layers(tree);
  if (!failed) failed = open_work(tree, options->work, options->upper, error, size);
  if (!failed && !tree->recovers) failed = open_root(tree, error, size);
  if (!failed && tree->recovers && recover_tables(tree))
    failed = say(error, size, "the memory of the last server cannot be used: it is not of these layers, or torn");
  tree->is_open = !failed;
  if (!failed) return tree;
  cunion_close(tree);
  return NULL;
}

void cunion_close(cunion *tree) {
  tables_close(tree);
  for (uint32_t i = 0; i < tree->open_count; i++)
    if (tree->open[i].fd >= 0) close(tree->open[i].fd);
  state_close(tree);
  for (uint32_t i = 0; i < tree->layer_count; i++) {
    catalog_close(&tree->layers[i].catalog);
    close(tree->layers[i].fd);
  }
  if (tree->work >= 0) {
    unlinkat(tree->work, "whiteout", 0);
    close(tree->work);
  }
  if (tree->parent_of_work >= 0) close(tree->parent_of_work);
  free(tree->layers);
  pthread_mutex_destroy(&tree->lock);
  pthread_mutex_destroy(&tree->lead);
  pthread_cond_destroy(&tree->idle);
  free(tree);
}

// The kernel reads 128 KiB ahead unless told here, and mapped files are read by nothing else. Only faster: no error.
static void read_further_ahead(const char *target) {
  struct statx file;
  char path[80];
  if (statx(AT_FDCWD, target, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &file) < 0) return;
  snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", file.stx_dev_major, file.stx_dev_minor);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "1024", 4) < 0) errno = 0;
  close(fd);
}

int cunion_mount(const char *target, const char *source) {
  int device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (device < 0) return -1;
  char options[160];
  // default_permissions: the kernel checks modes, owners and groups itself, as on any other file system.
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,allow_other,default_permissions", device, geteuid(), getegid());
  if (mount(source, target, "fuse.containerd-ref", 0, options) < 0) {
    int error = errno;
    close(device);
    errno = error;
    return -1;
  }
  read_further_ahead(target);
  return device;
}
