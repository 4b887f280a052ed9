// The same read-only tree as CFuse serves, through libfuse 3.14's low-level interface: a second opinion in tests, and what is left where the raw device
// must not be spoken to by hand. Same callbacks, same state block; what it lacks is a successor: the session ends with its process.
#pragma once
#include "CFuse.h"
#include "CUnion.h"

typedef struct clibfuse clibfuse;

// Mounts at an existing directory. `service` is copied, what it points to must last until `clibfuse_close`. NULL with errno.
clibfuse *clibfuse_mount(const char *target, const char *source, const cfuse_mount_options *options, const cfuse_service *service);

// A union in the same way: mounts at an existing directory, and `tree`, which must have no state, must last until `clibfuse_close`. NULL with errno.
// What libfuse 3.14 does not know is missing: O_TMPFILE and syncfs(2).
clibfuse *clibfuse_union(cunion *tree, const char *target, const char *source);

// For cfuse_push. Its owner is the session.
int clibfuse_device(const clibfuse *session);

// As cfuse_serve, or cunion_serve: several threads may call it. 0 when the mount is gone, else an errno.
int clibfuse_serve(clibfuse *session);

// Answers a read, once, on any thread; `number` is what the reader was given. 0, or an errno: ENOENT if whoever asked has given up.
int clibfuse_reply(int device, uint64_t number, int error, const void *bytes, size_t count);

// When all threads have ended and all reads are answered. Does not unmount; closes the device.
void clibfuse_close(clibfuse *session);
