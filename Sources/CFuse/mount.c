#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "CFuse.h"

int cfuse_mount_with(const char *target, const char *source, const cfuse_mount_options *wanted) {
  int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) return -1;
  char options[192];
  snprintf(
      options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,max_read=1048576%s%s", device, geteuid(), getegid(),
      wanted->allow_other ? ",allow_other" : "", wanted->default_permissions ? ",default_permissions" : "");
  unsigned long flags = (wanted->read_only ? MS_RDONLY : 0) | (wanted->nosuid ? MS_NOSUID : 0) | (wanted->nodev ? MS_NODEV : 0);
  if (mount(source, target, "fuse.containerd-ref", flags, options) < 0) {
    int error = errno;
    close(device);
    errno = error;
    return -1;
  }
  return device;
}

int cfuse_mount(const char *target, const char *source) {
  // Set-uid and devices mean what they mean in an image.
  cfuse_mount_options options = {.allow_other = true, .default_permissions = true, .read_only = true};
  return cfuse_mount_with(target, source, &options);
}
