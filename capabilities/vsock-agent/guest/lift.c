#include "lift.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

// What `root` is called while its content moves: with the first move the disk holds more than `root`, and nobody
// could tell any more that it was to be lifted.
#define LIFTED ".banger-lift"
#define LOST "lost+found"

enum { FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static bool is_dots(const char *name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static DIR *read_folder(int dir, const char *name) {
  int fd = openat(dir, name, FOLDER_FLAGS);
  DIR *entries = fd < 0 ? NULL : fdopendir(fd);
  if (!entries && fd >= 0) close(fd);
  return entries;
}

static bool holds_only_root(int dir) {
  DIR *entries = read_folder(dir, ".");
  struct dirent *entry;
  bool found = false, others = !entries;
  while (!others && (entry = readdir(entries))) {
    const char *name = entry->d_name;
    if (is_dots(name) || strcmp(name, LOST) == 0) continue;
    if (strcmp(name, "root") == 0) found = true;
    else others = true;
  }
  if (entries) closedir(entries);
  return found && !others;
}

// One round: a folder that is changed while it is read may not show all that it has.
static bool move_some(int dir, int from, bool *moved) {
  DIR *entries = read_folder(from, ".");
  if (!entries) return false;
  struct dirent *entry;
  bool ok = true;
  *moved = false;
  while ((entry = readdir(entries))) {
    const char *name = entry->d_name;
    if (is_dots(name)) continue;
    if (renameat2(from, name, dir, name, RENAME_NOREPLACE) == 0) {
      *moved = true;
      continue;
    }
    warn("work disk: %s cannot be moved up: %s", name, strerror(errno));
    ok = false;
  }
  closedir(entries);
  return ok;
}

static bool move_up(int dir, int from) {
  bool ok, moved;
  do ok = move_some(dir, from, &moved);
  while (ok && moved);
  return ok;
}

static bool finish(int dir) {
  struct stat info;
  int from = openat(dir, LIFTED, FOLDER_FLAGS);
  if (from < 0) return errno == ENOENT;
  // Both may have one, mkfs's own and empty.
  unlinkat(from, LOST, AT_REMOVEDIR);
  bool ok = fstat(from, &info) == 0 && move_up(dir, from) &&
            fchown(dir, info.st_uid, info.st_gid) == 0 && fchmod(dir, info.st_mode & 07777) == 0;
  close(from);
  return ok && fsync(dir) == 0 && unlinkat(dir, LIFTED, AT_REMOVEDIR) == 0;
}

bool lift_nested(const char *path) {
  int dir = open(path, FOLDER_FLAGS);
  if (dir < 0) return false;
  struct stat info;
  bool begun = fstatat(dir, LIFTED, &info, AT_SYMLINK_NOFOLLOW) == 0;
  bool nested = !begun && holds_only_root(dir) &&
                fstatat(dir, "root", &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
  bool ok = true;
  if (nested) ok = renameat(dir, "root", dir, LIFTED) == 0;
  if (ok && (begun || nested)) ok = finish(dir);
  if (!ok) warn("work disk: its folder root cannot be lifted: %s", strerror(errno));
  close(dir);
  return ok;
}
