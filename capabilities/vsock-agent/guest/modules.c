#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs.h"
#include "log.h"

enum { LIST_MAX = 65536 };

static void load(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/modules/%s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
    warn("module %s: %s", name, strerror(errno));
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
