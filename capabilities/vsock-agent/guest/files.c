#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs.h"

bool upload_open(struct upload *upload, const struct request *request) {
  if (!request->path || !is_file_path(request->path)) {
    errno = EINVAL;
    return false;
  }
  snprintf(upload->path, sizeof upload->path, "%s", request->path);
  upload->mode = request->mode;
  upload->uid = request->uid;
  upload->gid = request->gid;
  upload->has_uid = request->has_uid;
  upload->has_gid = request->has_gid;
  if (!make_parents(upload->path)) return false;
  upload->fd = create_beside(upload->path, upload->temp);
  return upload->fd >= 0;
}

void upload_abort(struct upload *upload) {
  int saved = errno;
  unlink(upload->temp);
  close(upload->fd);
  errno = saved;
}

bool upload_write(struct upload *upload, const uint8_t *data, size_t size) {
  if (write_all(upload->fd, data, size)) return true;
  upload_abort(upload);
  return false;
}

bool upload_commit(struct upload *upload) {
  uid_t uid = upload->has_uid ? upload->uid : (uid_t)-1;
  gid_t gid = upload->has_gid ? upload->gid : (gid_t)-1;
  // The owner first: chown clears setuid and setgid.
  if (fchown(upload->fd, uid, gid) != 0 || fchmod(upload->fd, upload->mode) != 0 ||
      rename(upload->temp, upload->path) != 0) {
    upload_abort(upload);
    return false;
  }
  close(upload->fd);
  return true;
}

int download_open(const char *path) {
  struct stat info;
  if (!path || path[0] != '/') {
    errno = EINVAL;
    return -1;
  }
  // O_NONBLOCK: a FIFO must not block the agent before it is refused.
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return -1;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) return fd;
  errno = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
  close(fd);
  return -1;
}
