#include "uevents.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
// After sys/socket.h: it uses sa_family_t.
#include <linux/netlink.h>
#include <unistd.h>

enum { KERNEL_GROUP = 1 };

int uevents_open(void) {
  int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

bool uevents_ports_changed(int fd) {
  char message[8192];
  bool changed = false;
  for (;;) {
    ssize_t n = recv(fd, message, sizeof message - 1, 0);
    if (n < 0 && errno == ENOBUFS) changed = true;
    else if (n <= 0) return changed;
    message[n > 0 ? n : 0] = 0; // begins with ACTION@DEVPATH
    if (strstr(message, "/virtio-ports/")) changed = true;
  }
}
