#include "grow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs.h"

// fs/ext4/ext4.h; in the kernel's public headers only since 6.3. Takes the new count of blocks, online.
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

// The unit of /sys/dev/block/*/size, whatever the disk's own.
enum { SYSFS_SECTOR = 512 };

static bool disk_bytes(dev_t device, uint64_t *bytes) {
  char path[64], text[32], *end;
  snprintf(path, sizeof path, "/sys/dev/block/%u:%u/size", major(device), minor(device));
  read_line(path, text, sizeof text);
  errno = 0;
  unsigned long long sectors = strtoull(text, &end, 10);
  if (errno == 0 && end != text && *end == 0 && sectors <= UINT64_MAX / SYSFS_SECTOR) {
    *bytes = sectors * SYSFS_SECTOR;
    return true;
  }
  errno = ENOTBLK;
  return false;
}

static bool grow_at(int dir, uint64_t *bytes) {
  struct stat info;
  struct statfs fs;
  if (fstat(dir, &info) != 0 || fstatfs(dir, &fs) != 0) return false;
  if (fs.f_type != EXT4_SUPER_MAGIC || fs.f_bsize <= 0) {
    errno = EOPNOTSUPP;
    return false;
  }
  if (!disk_bytes(info.st_dev, bytes)) return false;
  uint64_t blocks = *bytes / (uint64_t)fs.f_bsize;
  return ioctl(dir, EXT4_IOC_RESIZE_FS, &blocks) == 0;
}

bool grow_file_system(const char *path, uint64_t *bytes) {
  int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return false;
  bool ok = grow_at(dir, bytes);
  int saved = errno;
  close(dir);
  errno = saved;
  return ok;
}
