#include "rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lift.h"
#include "log.h"

#define NEW_ROOT "/newroot"

struct mountable {
  const char *type, *dir, *options;
  unsigned long flags;
  bool optional;
};

static const struct mountable basics[] = {
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
    {"devtmpfs", "/dev", "mode=0755", MS_NOSUID, false},
};

static const struct mountable extras[] = {
    {"devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, false},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, true},
    {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, false},
    {"cgroup2", "/sys/fs/cgroup", "nsdelegate", MS_NOSUID | MS_NODEV | MS_NOEXEC, true},
};

static bool mount_one(const struct mountable *m) {
  if (mkdir(m->dir, 0755) != 0 && errno != EEXIST && !m->optional) {
    warn("%s: %s", m->dir, strerror(errno));
    return false;
  }
  if (mount(m->type, m->dir, m->type, m->flags, m->options) == 0) return true;
  warn("cannot mount %s at %s: %s", m->type, m->dir, strerror(errno));
  return m->optional;
}

static bool mount_basics(void) {
  for (size_t i = 0; i < sizeof basics / sizeof basics[0]; i++)
    if (!mount_one(&basics[i])) return false;
  return true;
}

bool mount_initramfs_basics(void) { return mount_basics(); }

int enter_root(const char *device) {
  int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (old < 0 || (mkdir(NEW_ROOT, 0755) != 0 && errno != EEXIST)) return -1;
  if (mount(device, NEW_ROOT, "ext4", MS_NOATIME, NULL) != 0) return -1;
  for (size_t i = 0; i < sizeof basics / sizeof basics[0]; i++) umount2(basics[i].dir, MNT_DETACH);
  if (chdir(NEW_ROOT) != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 ||
      chdir("/") != 0)
    return -1;
  return old;
}

bool mount_guest(const char *work) {
  if (!mount_basics()) return false;
  for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++)
    if (!mount_one(&extras[i])) return false;
  // systemd makes / shared by itself; containers in a lean guest want it too.
  mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
  if (*work == 0) return true;
  if (mkdir("/root", 0700) != 0 && errno != EEXIST) return false;
  if (mount(work, "/root", "ext4", MS_NOATIME, NULL) == 0) {
    // What cannot be lifted stays where it is: no reason for a guest not to start.
    lift_nested("/root");
    return true;
  }
  warn("cannot mount %s at /root: %s", work, strerror(errno));
  return false;
}

static void delete_entry(int dir, const char *name, dev_t device) {
  struct stat info;
  if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_dev != device) return;
  if (!S_ISDIR(info.st_mode)) {
    unlinkat(dir, name, 0);
    return;
  }
  int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (child >= 0) delete_tree(child);
  unlinkat(dir, name, AT_REMOVEDIR);
}

void delete_tree(int dir) {
  struct stat info;
  DIR *entries = fstat(dir, &info) == 0 ? fdopendir(dir) : NULL;
  if (!entries) {
    close(dir);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(entries)))
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      delete_entry(dir, entry->d_name, info.st_dev);
  closedir(entries);
}
