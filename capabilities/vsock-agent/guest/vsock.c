#include "vsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
// After sys/socket.h: it uses sa_family_t.
#include <linux/vm_sockets.h>

#include "log.h"
#include "wire.h"

int vsock_listen(void) {
  // Asking the kernel for the family would have it run modprobe.
  if (access("/dev/vsock", F_OK) != 0 && access("/sys/module/vsock", F_OK) != 0) return -1;
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  struct sockaddr_vm address = {
      .svm_family = AF_VSOCK,
      .svm_port = VSOCK_PORT,
      .svm_cid = VMADDR_CID_ANY,
  };
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 16) == 0) return fd;
  warn("vsock port %d: %s", VSOCK_PORT, strerror(errno));
  close(fd);
  return -1;
}

void vsock_announce(void) {
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  struct sockaddr_vm address = {
      .svm_family = AF_VSOCK,
      .svm_port = ANNOUNCE_PORT,
      .svm_cid = VMADDR_CID_HOST,
  };
  // The request is on its way when this returns, and says it all; what comes back finds nobody.
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
    note("no word to the host: %s", strerror(errno));
  close(fd);
}
