// Running from a mount that nobody can write through.
#include "internal.h"
#include <stdlib.h>

extern char **environ;

int cinit_seal_self(char *const argv[]) {
  static const char mark[] = "REF_RUNTIME_SEALED";
  if (getenv(mark)) {
    unsetenv(mark);
    return 0;
  }
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) return -errno;
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  int error = cinit_result(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
  if (!error) {
    setenv(mark, "1", 1);
    syscall(SYS_execveat, tree, "", argv, environ, AT_EMPTY_PATH);
    error = -errno;
    unsetenv(mark);
  }
  close(tree);
  return error;
}
