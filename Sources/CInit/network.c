// A new network namespace starts with its loopback interface down.
#include "internal.h"
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int cinit_do_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, "lo", 3);
  int error = 0;
  if (ioctl(fd, SIOCGIFFLAGS, &request)) error = -errno;
  if (!error && !(request.ifr_flags & IFF_UP)) {
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request)) error = -errno;
  }
  close(fd);
  return error;
}
