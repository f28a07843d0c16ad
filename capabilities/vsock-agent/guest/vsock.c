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
