// put and get without a file system. By the path: one with `full` has no room, one with `none` is not there.
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "fs.h"

bool upload_open(struct upload *upload, const struct request *request) {
  errno = EINVAL;
  if (!request->path || !is_file_path(request->path)) return false;
  CHECK(strlen(request->path) < sizeof upload->path);
  snprintf(upload->path, sizeof upload->path, "%s", request->path);
  upload->fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  return upload->fd >= 0;
}

void upload_abort(struct upload *upload) {
  int saved = errno;
  CHECK(close(upload->fd) == 0);
  errno = saved;
}

bool upload_write(struct upload *upload, const uint8_t *data, size_t size) {
  CHECK(write(upload->fd, data, size) == (ssize_t)size);
  if (!strstr(upload->path, "full")) return true;
  errno = ENOSPC;
  upload_abort(upload);
  return false;
}

bool upload_commit(struct upload *upload) {
  CHECK(close(upload->fd) == 0);
  errno = EACCES;
  return !strstr(upload->path, "none");
}

int download_open(const char *path) {
  errno = path && path[0] == '/' ? ENOENT : EINVAL;
  if (!path || path[0] != '/' || strstr(path, "none")) return -1;
  int fd = memfd_create("get", MFD_CLOEXEC);
  CHECK(fd >= 0);
  // `/big` and more is as many times the largest frame.
  if (strncmp(path, "/big", 4) == 0)
    CHECK(ftruncate(fd, (off_t)(strlen(path) - 4) * BODY_MAX + 1) == 0);
  return fd;
}
