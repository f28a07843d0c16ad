#include "hosts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

enum { HOSTS_MAX = 1 << 20 };

static bool is_own_line(const char *line) {
  while (*line == ' ' || *line == '\t') line++;
  return strncmp(line, "127.0.1.1", 9) == 0 && (line[9] == 0 || isspace((unsigned char)line[9]));
}

char *hosts_with(const char *text, const char *name, size_t *size) {
  size_t room = strlen(text) + strlen(name) + 16, used = 0;
  char *out = malloc(room);
  if (!out) return NULL;
  for (const char *line = text; *line;) {
    size_t n = strcspn(line, "\n");
    if (!is_own_line(line)) {
      memcpy(out + used, line, n);
      used += n;
      out[used++] = '\n';
    }
    line += n + (line[n] == '\n');
  }
  *size = used + (size_t)snprintf(out + used, room - used, "127.0.1.1 %s\n", name);
  return out;
}

bool name_in_hosts(const char *name) {
  size_t size = 0;
  char *old = read_file_at(AT_FDCWD, "/etc/hosts", HOSTS_MAX, NULL);
  if (!old && errno != ENOENT) return false;
  char *out = hosts_with(old ? old : "127.0.0.1 localhost\n", name, &size);
  bool ok = out && write_atomic("/etc/hosts", out, size, 0644);
  free(out);
  free(old);
  return ok;
}
