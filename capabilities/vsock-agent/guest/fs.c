#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool write_all(int fd, const void *data, size_t n) {
  const char *at = data;
  while (n > 0) {
    ssize_t done = write(fd, at, n);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    at += done;
    n -= (size_t)done;
  }
  return true;
}

char *read_file_at(int dir, const char *path, size_t max, size_t *size) {
  int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return NULL;
  char *data = NULL;
  size_t used = 0, room = 0;
  ssize_t n;
  do {
    if (room - used < 2) {
      room = room ? room * 2 : 4096;
      char *more = room > 2 * max + 8192 ? NULL : realloc(data, room);
      if (!more) {
        errno = EFBIG;
        n = -1;
        break;
      }
      data = more;
    }
    n = read(fd, data + used, room - used - 1);
    if (n > 0) used += (size_t)n;
  } while (n > 0);
  if (n == 0 && used > max) {
    errno = EFBIG;
    n = -1;
  }
  int saved = errno;
  close(fd);
  errno = saved;
  if (n < 0) {
    free(data);
    return NULL;
  }
  data[used] = 0;
  if (size) *size = used;
  return data;
}

size_t read_start(const char *path, char *out, size_t max) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  size_t used = 0;
  while (fd >= 0 && used < max) {
    ssize_t n = read(fd, out + used, max - used);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    used += (size_t)n;
  }
  if (fd >= 0) close(fd);
  return used;
}

void read_line(const char *path, char *out, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
  if (fd >= 0) close(fd);
  out[n > 0 ? n : 0] = 0;
  out[strcspn(out, "\n")] = 0;
}

bool make_parents(const char *path) {
  char copy[PATH_MAX];
  if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) {
    errno = ENAMETOOLONG;
    return false;
  }
  for (char *at = copy + 1; (at = strchr(at, '/')); at++) {
    *at = 0;
    const char *name = strrchr(copy, '/');
    mode_t mode = name && strcmp(name, "/.ssh") == 0 ? 0700 : 0755;
    if (mkdir(copy, mode) != 0 && errno != EEXIST) return false;
    *at = '/';
  }
  return true;
}

int create_beside(const char *path, char *temp) {
  if (snprintf(temp, PATH_MAX, "%s.bgrXXXXXX", path) >= PATH_MAX) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return mkostemp(temp, O_CLOEXEC);
}

bool write_atomic(const char *path, const void *data, size_t n, mode_t mode) {
  char temp[PATH_MAX];
  int fd = create_beside(path, temp);
  if (fd < 0) return false;
  bool ok = write_all(fd, data, n) && fchmod(fd, mode) == 0 && rename(temp, path) == 0;
  int saved = errno;
  if (!ok) unlink(temp);
  close(fd);
  errno = saved;
  return ok;
}

bool is_file_path(const char *path) {
  size_t n = strlen(path);
  if (n < 2 || n > PATH_MAX - 16 || path[0] != '/' || path[n - 1] == '/') return false;
  const char *dots = strstr(path, "/..");
  while (dots && dots[3] != '/' && dots[3] != 0) dots = strstr(dots + 1, "/..");
  return dots == NULL;
}
