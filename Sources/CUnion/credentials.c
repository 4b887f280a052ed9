// New files belong to whoever asks for them: the thread takes the caller's file system user and group and mask, but keeps its own rights, because the kernel
// has checked the caller's already (default_permissions) and knows his further groups, which this process does not.
#define _GNU_SOURCE
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "union.h"

static void raise_capabilities(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &head, sets) < 0) return;
  for (int i = 0; i < 2; i++) sets[i].effective = sets[i].permitted;
  syscall(SYS_capset, &head, sets);
}

void become(struct worker *worker, uid_t user, gid_t group) {
  if (worker->group != group) {
    setfsgid(group);
    worker->group = group;
  }
  if (worker->user == user) return;
  setfsuid(user);
  worker->user = user;
  // Leaving user 0 takes the rights over files away (capabilities(7)); they are needed on.
  raise_capabilities();
}

void become_caller(struct worker *worker, mode_t mask) {
  become(worker, worker->request->uid, worker->request->gid);
  if (worker->mask == mask) return;
  umask(mask);
  worker->mask = mask;
}
