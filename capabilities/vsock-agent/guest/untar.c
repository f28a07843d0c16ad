#include "untar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs.h"

enum { FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC, TEMP_TRIES = 8 };

static bool fail(struct untar *untar, const char *what, int error) {
  // A name may be as long as the text: its beginning says enough.
  snprintf(untar->problem, sizeof untar->problem, "%.800s: %s", what, strerror(error));
  return false;
}

static const char *shown(const struct untar *untar, const struct tar_entry *entry) {
  return entry->name[0] ? entry->name : untar->target;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

void untar_close(struct untar *untar) {
  if (untar->file >= 0) unlinkat(untar->folder, untar->temp, 0);
  close_fd(&untar->file);
  if (untar->folder != untar->root) close_fd(&untar->folder);
  close_fd(&untar->root);
  untar->folder = -1;
}

static bool is_leaf(const char *name) {
  size_t n = strlen(name);
  return n > 0 && n <= NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
         strcmp(name, "..") != 0;
}

bool untar_open(struct untar *untar, const struct request *request) {
  struct stat info;
  untar->root = untar->folder = untar->file = -1;
  untar->begun = false;
  tar_parser_init(&untar->parser);
  const char *path = request->path, *name = request->name;
  if (!path || strlen(path) > PATH_MAX - 32 || !is_file_path(path) || (name && !is_leaf(name)))
    return fail(untar, path ? path : "untar needs a path", EINVAL);
  bool into = name && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
  int n = snprintf(untar->target, sizeof untar->target, "%s%s%s", path, into ? "/" : "",
                   into ? name : "");
  if (n >= (int)sizeof untar->target) return fail(untar, path, ENAMETOOLONG);
  if (!make_parents(untar->target)) return fail(untar, untar->target, errno);
  return true;
}

// The folder above the target, and the target's name in it: the way there is the user's own, symlinks and all.
static bool open_above(struct untar *untar) {
  char above[PATH_MAX];
  snprintf(above, sizeof above, "%s", untar->target);
  char *slash = strrchr(above, '/');
  if (!is_leaf(slash + 1)) return fail(untar, untar->target, EINVAL);
  snprintf(untar->leaf, sizeof untar->leaf, "%s", slash + 1);
  slash[slash == above] = 0;
  untar->folder = open(above, FOLDER_FLAGS);
  return untar->folder >= 0 || fail(untar, above, errno);
}

static void own(int fd, const struct tar_entry *entry) {
  // As `tar` does: nobody but root can give a file away.
  if (geteuid() == 0 && fchown(fd, entry->uid, entry->gid) != 0) return;
  fchmod(fd, entry->mode);
}

// The target itself as a folder. One that is there keeps its owner and mode.
static bool open_root(struct untar *untar, const struct tar_entry *entry) {
  bool made = mkdir(untar->target, 0755) == 0;
  if (!made && errno != EEXIST) return fail(untar, untar->target, errno);
  untar->root = open(untar->target, FOLDER_FLAGS);
  if (untar->root < 0) return fail(untar, untar->target, errno);
  if (made && entry) own(untar->root, entry);
  untar->folder = untar->root;
  untar->folder_name[0] = 0;
  return true;
}

// One step down, never through a symlink: one that is in a folder's place goes.
static int enter(int from, const char *name, bool *made) {
  for (int tries = 0; tries < 2; tries++) {
    struct stat info;
    if (mkdirat(from, name, 0755) == 0) *made = true;
    else if (errno != EEXIST) return -1;
    int fd = openat(from, name, FOLDER_FLAGS | O_NOFOLLOW);
    if (fd >= 0 || (errno != ELOOP && errno != ENOTDIR)) return fd;
    if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    if (!S_ISLNK(info.st_mode)) {
      errno = ENOTDIR;
      return -1;
    }
    if (unlinkat(from, name, 0) != 0) return -1;
  }
  errno = ENOTDIR;
  return -1;
}

// Makes `folder` that of the entry's parent, and `leaf` the entry's name in it.
static bool enter_parent(struct untar *untar, const struct tar_entry *entry) {
  char copy[TAR_NAME_MAX + 1];
  memcpy(copy, entry->name, sizeof copy);
  char *slash = strrchr(copy, '/'), *leaf = slash ? slash + 1 : copy;
  if (!is_leaf(leaf)) return fail(untar, entry->name, ENAMETOOLONG);
  memcpy(untar->leaf, leaf, strlen(leaf) + 1);
  if (slash) *slash = 0;
  else copy[0] = 0;
  if (strcmp(copy, untar->folder_name) == 0) return true;
  int at = untar->root;
  for (char *part = copy; *part;) {
    size_t n = strcspn(part, "/");
    char *next = part + n + (part[n] == '/');
    part[n] = 0;
    bool made;
    int below = is_leaf(part) ? enter(at, part, &made) : (errno = ENAMETOOLONG, -1);
    int error = errno;
    if (at != untar->root) close(at);
    if (below < 0) return fail(untar, entry->name, error);
    at = below;
    part = next;
  }
  if (untar->folder != untar->root) close(untar->folder);
  untar->folder = at;
  size_t length = slash ? (size_t)(slash - copy) : 0;
  memcpy(untar->folder_name, entry->name, length);
  untar->folder_name[length] = 0;
  return true;
}

// A name that nothing has: `temp` in `folder`, made by `make`.
static int make_temp(struct untar *untar, const struct tar_entry *entry) {
  for (int tries = 0; tries < TEMP_TRIES; tries++) {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random) return -1;
    snprintf(untar->temp, sizeof untar->temp, ".bgr%016llx", (unsigned long long)random);
    int fd = entry->type == TAR_SYMLINK
                 ? symlinkat(entry->link, untar->folder, untar->temp)
                 : openat(untar->folder, untar->temp,
                          O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

// In the place of whatever has the name, a folder apart.
static bool put_in_place(struct untar *untar) {
  return renameat(untar->folder, untar->temp, untar->folder, untar->leaf) == 0;
}

static bool take_symlink(struct untar *untar, const struct tar_entry *entry) {
  if (make_temp(untar, entry) < 0) return fail(untar, shown(untar, entry), errno);
  if (geteuid() == 0)
    fchownat(untar->folder, untar->temp, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW);
  if (put_in_place(untar)) return true;
  int error = errno;
  unlinkat(untar->folder, untar->temp, 0);
  return fail(untar, shown(untar, entry), error);
}

static bool take_folder(struct untar *untar, const struct tar_entry *entry) {
  bool made = false;
  int fd = enter(untar->folder, untar->leaf, &made);
  if (fd < 0) return fail(untar, entry->name, errno);
  own(fd, entry);
  close(fd);
  return true;
}

static bool take_entry(void *context, const struct tar_entry *entry) {
  struct untar *untar = context;
  bool first = !untar->begun, itself = entry->name[0] == 0;
  untar->begun = true;
  if (itself && !first) return fail(untar, "the tar's root comes once, and first", EINVAL);
  if (itself && entry->type == TAR_FOLDER) return open_root(untar, entry);
  if (itself ? !open_above(untar) : first && !open_root(untar, NULL)) return false;
  if (!itself && untar->root < 0) return fail(untar, "the tar's root is no folder", EINVAL);
  if (!itself && !enter_parent(untar, entry)) return false;
  if (entry->type == TAR_FOLDER) return take_folder(untar, entry);
  if (entry->type == TAR_SYMLINK) return take_symlink(untar, entry);
  untar->file = make_temp(untar, entry);
  if (untar->file < 0) return fail(untar, shown(untar, entry), errno);
  untar->entry = *entry;
  return true;
}

static bool take_data(void *context, const uint8_t *data, size_t size) {
  struct untar *untar = context;
  return write_all(untar->file, data, size) ||
         fail(untar, shown(untar, &untar->entry), errno);
}

static bool end_file(void *context) {
  struct untar *untar = context;
  const struct tar_entry *entry = &untar->entry;
  struct timespec times[2] = {{.tv_sec = entry->mtime}, {.tv_sec = entry->mtime}};
  own(untar->file, entry);
  futimens(untar->file, times);
  if (!put_in_place(untar)) return fail(untar, shown(untar, entry), errno);
  close_fd(&untar->file);
  return true;
}

static const struct tar_sink sink = {.entry = take_entry, .data = take_data, .done = end_file};

bool untar_write(struct untar *untar, const uint8_t *data, size_t size) {
  if (tar_parse(&untar->parser, &sink, untar, data, size)) return true;
  if (untar->parser.problem)
    snprintf(untar->problem, sizeof untar->problem, "%s", untar->parser.problem);
  return false;
}

bool untar_end(struct untar *untar) {
  if (!tar_is_whole(&untar->parser)) return fail(untar, "the tar is cut off", EINVAL);
  return untar->begun || fail(untar, "the tar is empty", EINVAL);
}
