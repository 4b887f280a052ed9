// The part of starting a container process that runs between clone and execve.
//
// The parent compiles a configuration into an array of operations; the cloned child executes them one by one with nothing
// but system calls: no allocation, no stdio, no locks, because it is a copy of a process whose other state it must not
// trust. The first operation that fails is reported with its label and errno over the sync socket, and the child ends.
#pragma once
#include <stdint.h>

enum cinit_kind {
  CINIT_SETNS = 1,      // fd, a = CLONE_NEW* (0: any; more than one bit with a pidfd)
  CINIT_UNSHARE,        // a = CLONE_NEW*
  CINIT_WRITE_FD,       // fd, text
  CINIT_WRITE_PROC,     // path, text; refused unless the file is on procfs
  CINIT_OPEN_PROC,      // slot = fd, path: opened for writing, refused unless on procfs
  CINIT_WRITE_SLOT,     // slot = fd, text
  CINIT_SYNC,           // a = point: tells the parent and waits for its answer, which becomes the hooks' standard input
  CINIT_ROOT_IDS,       // become uid 0 and gid 0 of the user namespace, where they are mapped
  CINIT_SETSID,
  CINIT_KEYRING,        // text = name
  CINIT_PROPAGATION,    // path (host), a = MS_* flags
  CINIT_OPEN_TREE,      // slot = fd, path (host), a != 0: with everything mounted below
  CINIT_IDMAP,          // slot = fd, fd2 = user namespace, a != 0: recursive
  CINIT_ATTACH_ROOT,    // slot = fd, path (host): attaches the tree there; all later paths are inside it
  CINIT_MAKE_DIRECTORY, // path, a = mode
  CINIT_MOUNT,          // path, source, text = type, data, a = MS_* flags, resolve, attributes
  CINIT_BIND,           // slot = fd, path, resolve, attributes
  CINIT_ATTRIBUTES,     // path, resolve, attributes
  CINIT_SYMLINK,        // path, text = target; an existing file stays
  CINIT_DEVICE,         // path, a = mode with type, b = dev_t, c = uid, d = gid; slot fd2 >= 0: bind that instead
  CINIT_MASK,           // path; absent is fine
  CINIT_READONLY,       // path; absent is fine
  CINIT_PTY,            // makes a terminal; a != 0: bind it on /dev/console; b = rows, c = columns; d = 1: "/" is the root
  CINIT_ROOT_READONLY,
  CINIT_ENTER_ROOT,     // a: 0 pivot_root, 1 move and chroot, 2 chroot; b = propagation of the new root, 0 for none
  CINIT_CHROOT_FD,      // fd
  CINIT_HOSTNAME,       // text
  CINIT_DOMAINNAME,     // text
  CINIT_LOOPBACK_UP,
  CINIT_HOOK,           // path, list, env, a = timeout in seconds, 0 for none
  CINIT_STDIO,          // a, b, c = descriptors; d != 0: the terminal
  CINIT_STDIO_OWNER,    // a = uid
  CINIT_READY,          // fd = listening gate, a = first descriptor that is not preserved: closes everything else, and
                        // waits until the caller has kept what it must know of this process, or ends with the caller
  CINIT_GATE,           // fd = listening gate: waits for start; errors are reported there from now on
  CINIT_RLIMIT,         // a = resource, b = soft, c = hard
  CINIT_BOUNDING,       // a = set that stays
  CINIT_USER,           // a = uid, b = gid, blob = additional gids (uint32_t each); keeps permitted capabilities
  CINIT_CAPABILITIES,   // a = effective, b = permitted, c = inheritable
  CINIT_AMBIENT,        // a = set
  CINIT_NO_NEW_PRIVS,
  CINIT_SECCOMP,        // blob = BPF program, a = SECCOMP_FILTER_FLAG_*
  CINIT_UMASK,          // a
  CINIT_CHDIR,          // path
  CINIT_PERSONALITY,    // a
  CINIT_SCHEDULER,      // blob = struct sched_attr
  CINIT_IO_PRIORITY,    // a
  CINIT_CLOSE_ON_EXEC,  // a = first descriptor
  CINIT_LOOKUP,         // path, env, source = working directory: fails as the execution would for want of a program
  CINIT_EXECUTE,        // path, list, env
};

enum cinit_flag {
  CINIT_SOFT = 1, // a failure is a warning
};

struct cinit_attributes {
  uint64_t set, clear;                     // of the mount itself (MOUNT_ATTR_*)
  uint64_t recursive_set, recursive_clear; // of it and all below
  uint64_t propagation[4];                 // MS_* values in order, 0 ends
};

struct cinit_op {
  uint32_t kind;
  uint32_t flags;
  int32_t fd, fd2;
  uint64_t a, b, c, d;
  uint64_t resolve; // RESOLVE_* beside IN_ROOT and NO_MAGICLINKS
  struct cinit_attributes attributes;
  const char *label; // what a message calls this step: "mount proc at /proc"
  const char *path, *source, *text, *data;
  const void *blob;
  uint64_t blob_size;
  char **list;
  char **env;
};

struct cinit_plan {
  const struct cinit_op *joins; // run in a short-lived process between caller and child; none: no such process
  uint32_t join_count;
  const struct cinit_op *ops;
  uint32_t op_count;
  uint64_t clone_flags; // the namespaces that are new
  int32_t cgroup_fd;    // unified cgroup to start in, or -1
  int32_t sync_fd;      // the child's end of the sync socket (SOCK_SEQPACKET)
  int32_t *slots;       // descriptors that operations hand to one another
  uint32_t held;        // 1: the child ends with the caller until CINIT_READY
};

enum cinit_message_kind {
  CINIT_MESSAGE_ERROR = 1, // error, text = label
  CINIT_MESSAGE_WARNING,   // error, text = label
  CINIT_MESSAGE_PID,       // value: pid of the child, seen by the caller
  CINIT_MESSAGE_SYNC,      // value: point
  CINIT_MESSAGE_TERMINAL,  // the master side comes with it
  CINIT_MESSAGE_READY,
};

struct cinit_message {
  uint32_t kind;
  int32_t error;
  int32_t value;
  uint32_t detail; // for hooks: wait status; 0 otherwise
  char text[496];
};

#define CINIT_HOOK_INPUT_MAX 60000

/// Clones the child and lets it execute the plan. Gives the pid of the clone (the intermediate process when there are
/// joins: it ends at once and must be waited for), or -errno.
int cinit_spawn(const struct cinit_plan *plan);

/// Receives one message and, if one came, a descriptor. 1: received, 0: the other end has closed, -errno.
int cinit_receive(int fd, struct cinit_message *message, int *received_fd);

/// Sends `size` bytes as one packet: 0 or -errno.
int cinit_send(int fd, const void *bytes, uint64_t size);

/// Sends one descriptor with one byte, as runc's console socket protocol has it: 0 or -errno.
int cinit_send_fd(int socket, int fd, const char *name);

/// Runs a hook in this process's namespaces: 0, or -errno; -ETIMEDOUT after the timeout. `status` is its wait status.
int cinit_run_hook(const char *path, char *const *argv, char *const *env, const char *input, uint64_t input_size,
                   int timeout_seconds, int *status);

/// Makes a listening SOCK_SEQPACKET socket named `name` in a directory: descriptor or -errno.
int cinit_listen_at(int dirfd, const char *name);
/// Connects to it: descriptor or -errno.
int cinit_connect_at(int dirfd, const char *name);
/// Connects to a stream socket by path: descriptor or -errno.
int cinit_connect_stream(const char *path);

/// A user namespace with the given maps, for id-mapped mounts: descriptor or -errno.
int cinit_user_namespace(const char *uid_map, const char *gid_map);

/// Attaches a BPF_PROG_TYPE_CGROUP_DEVICE program to a cgroup directory, replacing ours if one is there: 0 or -errno.
int cinit_attach_device_filter(int cgroup_fd, const uint64_t *instructions, uint32_t count);

/// A socketpair of SOCK_SEQPACKET, close-on-exec: 0 or -errno.
int cinit_socketpair(int fds[2]);

/// Reads the permitted set of the calling process and the bounding set: 0 or -errno.
int cinit_own_capabilities(uint64_t *permitted, uint64_t *bounding);

/// Replaces this program by itself, run from a detached read-only mount, so that a container that gets hold of
/// /proc/PID/exe cannot write to the file. Returns only when that is not possible (-errno) or already done (0).
int cinit_seal_self(char *const argv[]);
