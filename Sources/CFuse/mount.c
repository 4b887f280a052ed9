#include "CFuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

int cfuse_mount(const char *target, const char *source) {
  int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return -1;
  char options[160];
  // default_permissions: the kernel checks modes and owners itself, as on any other file system. Set-uid and devices mean what they mean in an image.
  snprintf(
      options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,allow_other,default_permissions,max_read=1048576", device, geteuid(), getegid());
  if (mount(source, target, "fuse.containerd-ref", MS_RDONLY, options) < 0) {
    int error = errno;
    close(device);
    errno = error;
    return -1;
  }
  return device;
}
