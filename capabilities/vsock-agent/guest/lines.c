#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

enum { FILE_MAX = 16 << 20 };

static bool has_line(const char *text, const char *line, size_t size) {
  for (const char *at = text; *at;) {
    size_t n = strcspn(at, "\n");
    if (n == size && memcmp(at, line, n) == 0) return true;
    at += n + (at[n] == '\n');
  }
  return false;
}

char *with_lines(char *old, size_t *old_size, const char *data) {
  size_t size = *old_size;
  char *text = realloc(old, size + strlen(data) + 3);
  if (!text) {
    free(old);
    return NULL;
  }
  text[size] = 0;
  for (const char *line = data; *line;) {
    size_t n = strcspn(line, "\n");
    if (n > 0 && !has_line(text, line, n)) {
      if (size > 0 && text[size - 1] != '\n') text[size++] = '\n';
      memcpy(text + size, line, n);
      size += n;
      text[size++] = '\n';
      text[size] = 0;
    }
    line += n + (line[n] == '\n');
  }
  *old_size = size;
  return text;
}

bool append_lines(const char *path, const char *data, mode_t mode) {
  size_t size = 0;
  char *old = read_file_at(AT_FDCWD, path, FILE_MAX, &size);
  if (!old && errno != ENOENT) return false;
  char *text = with_lines(old, &size, data);
  bool ok = text && write_atomic(path, text, size, mode);
  free(text);
  return ok;
}
