#include "tar-out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };
enum { END_SIZE = 2 * TAR_BLOCK };

static bool fail(struct tar_out *out, const char *what, int error) {
  snprintf(out->problem, sizeof out->problem, "%.800s: %s", what, strerror(error));
  return false;
}

static const char *shown(const struct tar_out *out) {
  return out->entry.name[0] ? out->entry.name : "it";
}

// Told once: the second walk meets the same again.
static void note(struct tar_out *out, const char *what) {
  if (out->phase == OUT_MEASURE || out->notes > NOTES_MAX) return;
  if (out->notes++ == NOTES_MAX)
    snprintf(out->note, sizeof out->note, "and more of that kind");
  else snprintf(out->note, sizeof out->note, "%.500s: %s", shown(out), what);
}

bool tar_out_open(struct tar_out *out, const char *path) {
  struct stat info;
  memset(out, 0, sizeof *out);
  out->top = out->file = -1;
  out->at_top = true;
  if (!path || path[0] != '/') return fail(out, path ? path : "tar needs a path", EINVAL);
  // O_NONBLOCK: a FIFO must not block the agent before it is refused.
  out->top = open(path, READ_FLAGS);
  if (out->top < 0) return fail(out, path, errno);
  if (fstat(out->top, &info) != 0) return fail(out, path, errno);
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
    return fail(out, path, EINVAL);
  out->device = info.st_dev;
  return true;
}

static void leave_folders(struct tar_out *out) {
  while (out->depth > 0) closedir(out->folders[--out->depth]);
}

void tar_out_close(struct tar_out *out) {
  leave_folders(out);
  if (out->file >= 0 && out->file != out->top) close(out->file);
  if (out->top >= 0) close(out->top);
  out->top = out->file = -1;
}

// Takes the descriptor.
static bool enter(struct tar_out *out, int fd, size_t end) {
  DIR *folder = out->depth < TREE_DEPTH_MAX ? fdopendir(fd) : NULL;
  if (!folder) {
    int error = out->depth < TREE_DEPTH_MAX ? errno : ELOOP;
    close(fd);
    return fail(out, shown(out), error);
  }
  out->folders[out->depth] = folder;
  out->ends[out->depth++] = end;
  return true;
}

static void describe(struct tar_out *out, const struct stat *info) {
  struct tar_entry *entry = &out->entry;
  entry->mode = info->st_mode & 07777;
  entry->uid = info->st_uid;
  entry->gid = info->st_gid;
  entry->mtime = info->st_mtime;
  entry->size = S_ISREG(info->st_mode) ? (uint64_t)info->st_size : 0;
  entry->link[0] = 0;
  entry->type = S_ISREG(info->st_mode) ? TAR_FILE : S_ISDIR(info->st_mode) ? TAR_FOLDER : TAR_SYMLINK;
}

enum found { FOUND_ENTRY, FOUND_NOTHING, FOUND_END, FOUND_ERROR };

static enum found next_top(struct tar_out *out) {
  struct stat info;
  out->at_top = false;
  out->entry.name[0] = 0;
  if (fstat(out->top, &info) != 0) return fail(out, shown(out), errno), FOUND_ERROR;
  describe(out, &info);
  if (S_ISDIR(info.st_mode)) {
    int again = openat(out->top, ".", READ_FLAGS | O_DIRECTORY);
    if (again < 0) return fail(out, shown(out), errno), FOUND_ERROR;
    if (!enter(out, again, 0)) return FOUND_ERROR;
  } else {
    out->file = out->top;
  }
  return FOUND_ENTRY;
}

// What is gone since its folder was read was not there.
static enum found gone_or_error(struct tar_out *out) {
  if (errno == ENOENT) return FOUND_NOTHING;
  return fail(out, shown(out), errno), FOUND_ERROR;
}

static enum found take_file(struct tar_out *out, int from, const char *name) {
  struct stat info;
  if (out->phase == OUT_MEASURE) return FOUND_ENTRY;
  out->file = openat(from, name, READ_FLAGS | O_NOFOLLOW);
  if (out->file < 0) return gone_or_error(out);
  if (fstat(out->file, &info) != 0) return fail(out, shown(out), errno), FOUND_ERROR;
  if (!S_ISREG(info.st_mode)) {
    close(out->file);
    out->file = -1;
    return FOUND_NOTHING;
  }
  describe(out, &info);
  return FOUND_ENTRY;
}

static enum found next_below(struct tar_out *out) {
  struct stat info;
  struct tar_entry *entry = &out->entry;
  DIR *folder = out->folders[out->depth - 1];
  size_t end = out->ends[out->depth - 1];
  entry->name[end] = 0;
  errno = 0;
  struct dirent *found = readdir(folder);
  if (!found && errno != 0) return fail(out, shown(out), errno), FOUND_ERROR;
  if (!found) {
    closedir(folder);
    out->depth--;
    return FOUND_NOTHING;
  }
  const char *name = found->d_name;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return FOUND_NOTHING;
  size_t n = strlen(name), slash = end > 0;
  if (end + slash + n > TAR_NAME_MAX) return fail(out, shown(out), ENAMETOOLONG), FOUND_ERROR;
  if (slash) entry->name[end] = '/';
  memcpy(entry->name + end + slash, name, n + 1);
  int from = dirfd(folder);
  if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return gone_or_error(out);
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode))
    return note(out, "left out: neither file, folder nor symlink"), FOUND_NOTHING;
  if (info.st_dev != out->device)
    return note(out, "left out: another file system"), FOUND_NOTHING;
  describe(out, &info);
  if (S_ISREG(info.st_mode)) return take_file(out, from, name);
  if (S_ISLNK(info.st_mode)) {
    ssize_t size = readlinkat(from, name, entry->link, TAR_NAME_MAX);
    if (size < 0) return gone_or_error(out);
    entry->link[size] = 0;
    return FOUND_ENTRY;
  }
  int fd = openat(from, name, READ_FLAGS | O_DIRECTORY | O_NOFOLLOW);
  if (fd < 0) return errno == ENOTDIR || errno == ELOOP ? FOUND_NOTHING : gone_or_error(out);
  return enter(out, fd, end + slash + n) ? FOUND_ENTRY : FOUND_ERROR;
}

static enum found next(struct tar_out *out) {
  if (out->at_top) return next_top(out);
  return out->depth > 0 ? next_below(out) : FOUND_END;
}

static enum tar_out_result measure(struct tar_out *out) {
  enum found found = next(out);
  if (found == FOUND_ERROR) return TAR_OUT_FAILED;
  if (found == FOUND_ENTRY) out->total += out->entry.size;
  out->file = -1;
  if (found == FOUND_END) {
    out->phase = OUT_HEADER;
    out->at_top = true;
  }
  return TAR_OUT_MORE;
}

static enum tar_out_result write_entry(struct tar_out *out, uint8_t *data, size_t *size) {
  enum found found = next(out);
  if (found == FOUND_ERROR) return TAR_OUT_FAILED;
  if (found == FOUND_NOTHING) return TAR_OUT_MORE;
  if (found == FOUND_END) {
    out->phase = OUT_END;
    out->left = END_SIZE;
    return TAR_OUT_MORE;
  }
  *size = tar_write_header(data, &out->entry, out->total_told ? NULL : &out->total);
  out->total_told = true;
  out->left = out->entry.size;
  if (out->entry.type == TAR_FILE) out->phase = OUT_DATA;
  return TAR_OUT_MORE;
}

static void end_data(struct tar_out *out) {
  if (out->file != out->top) close(out->file);
  out->file = -1;
  out->phase = OUT_PADDING;
  out->left = tar_padding(out->entry.size);
}

static enum tar_out_result write_data(struct tar_out *out, uint8_t *data, size_t room, size_t *size) {
  if (out->left == 0) return end_data(out), TAR_OUT_MORE;
  size_t wanted = out->left < room ? (size_t)out->left : room;
  ssize_t n = read(out->file, data, wanted);
  if (n < 0 && errno == EINTR) return TAR_OUT_MORE;
  if (n < 0) return fail(out, shown(out), errno), TAR_OUT_FAILED;
  if (n == 0) {
    // Its size was promised.
    note(out, "became shorter while it was read; zeros are in place of the rest");
    memset(data, 0, wanted);
    n = (ssize_t)wanted;
  }
  *size = (size_t)n;
  out->left -= (size_t)n;
  return TAR_OUT_MORE;
}

static enum tar_out_result write_zeros(struct tar_out *out, uint8_t *data, size_t *size) {
  memset(data, 0, (size_t)out->left);
  *size = (size_t)out->left;
  out->phase = out->phase == OUT_END ? OUT_OVER : OUT_HEADER;
  return TAR_OUT_MORE;
}

enum tar_out_result tar_out_step(struct tar_out *out, uint8_t *data, size_t room, size_t *size) {
  *size = 0;
  switch (out->phase) {
    case OUT_MEASURE: return measure(out);
    case OUT_HEADER: return write_entry(out, data, size);
    case OUT_DATA: return write_data(out, data, room, size);
    case OUT_PADDING:
    case OUT_END: return write_zeros(out, data, size);
    case OUT_OVER: break;
  }
  return TAR_OUT_DONE;
}
