// Messages between the child and the caller, and sockets to send them over.
#include "internal.h"
#include <sys/socket.h>
#include <sys/un.h>

static int send_with_fd(int socket, void *bytes, size_t size, int fd) {
  struct iovec part = {.iov_base = bytes, .iov_len = size};
  union {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    memset(&control, 0, sizeof control);
    header.msg_control = control.space;
    header.msg_controllen = sizeof control.space;
    struct cmsghdr *message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(message), &fd, sizeof fd);
  }
  while (sendmsg(socket, &header, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) return -errno;
  return 0;
}

int cinit_report(int fd, uint32_t kind, int error, int value, uint32_t detail, const char *text, int passed_fd) {
  struct cinit_message message;
  memset(&message, 0, sizeof message);
  message.kind = kind;
  message.error = error;
  message.value = value;
  message.detail = detail;
  if (text) {
    size_t length = strlen(text);
    if (length >= sizeof message.text) length = sizeof message.text - 1;
    memcpy(message.text, text, length);
  }
  return send_with_fd(fd, &message, sizeof message, passed_fd);
}

int cinit_receive(int socket, struct cinit_message *message, int *received_fd) {
  *received_fd = -1;
  struct iovec part = {.iov_base = message, .iov_len = sizeof *message};
  union {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr header = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t count;
  while ((count = recvmsg(socket, &header, MSG_CMSG_CLOEXEC)) < 0)
    if (errno != EINTR) return errno == ECONNRESET ? 0 : -errno;
  if (count == 0) return 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) memcpy(received_fd, CMSG_DATA(c), sizeof(int));
  if (count != sizeof *message) return -EPROTO;
  message->text[sizeof message->text - 1] = 0;
  return 1;
}

int cinit_send(int fd, const void *bytes, uint64_t size) {
  while (send(fd, bytes, size, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) return -errno;
  return 0;
}

int cinit_send_fd(int socket, int fd, const char *name) {
  return send_with_fd(socket, (void *)name, strlen(name), fd);
}

int cinit_socketpair(int fds[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) return -errno;
  int size = 256 << 10; // a hook's standard input travels as one packet
  setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  return 0;
}

// State directories may be deeper than a socket address is long: go through the directory's descriptor.
static void address_at(struct sockaddr_un *address, int dirfd, const char *name) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  cinit_fd_path(address->sun_path, dirfd);
  size_t used = strlen(address->sun_path);
  address->sun_path[used++] = '/';
  strncpy(address->sun_path + used, name, sizeof address->sun_path - used - 1);
}

int cinit_listen_at(int dirfd, const char *name) {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct sockaddr_un address;
  address_at(&address, dirfd, name);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4)) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

static int connect_to(int type, const struct sockaddr_un *address) {
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (const struct sockaddr *)address, sizeof *address)) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

int cinit_connect_at(int dirfd, const char *name) {
  struct sockaddr_un address;
  address_at(&address, dirfd, name);
  return connect_to(SOCK_SEQPACKET, &address);
}

int cinit_connect_stream(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    int slot = open(path, O_PATH | O_CLOEXEC);
    if (slot < 0) return -errno;
    cinit_fd_path(address.sun_path, slot);
    int result = connect_to(SOCK_STREAM, &address);
    close(slot);
    return result;
  }
  strcpy(address.sun_path, path);
  return connect_to(SOCK_STREAM, &address);
}
