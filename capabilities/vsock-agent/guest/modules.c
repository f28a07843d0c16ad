#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs.h"
#include "log.h"

enum { LIST_MAX = 65536 };

// What the boot does not wait for: its parts come by themselves, and loading it takes tens of milliseconds.
static bool may_be_late(const char *name) { return strncmp(name, "virtio_balloon", 14) == 0; }

static void load(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/modules/%s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  // The file is open before its path goes. Whoever is process 1 then takes the child's end.
  pid_t child = fd >= 0 && may_be_late(name) ? fork() : -1;
  if (child > 0) {
    close(fd);
    return;
  }
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
    warn("module %s: %s", name, strerror(errno));
  if (child == 0) _exit(0);
  if (fd >= 0) close(fd);
}

void load_modules(void) {
  char *list = read_file_at(AT_FDCWD, "/modules/list", LIST_MAX, NULL);
  char *rest = NULL;
  for (char *name = list ? strtok_r(list, "\n", &rest) : NULL; name;
       name = strtok_r(NULL, "\n", &rest))
    load(name);
  free(list);
}
