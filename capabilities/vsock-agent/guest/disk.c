#include "disk.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"

enum { DISK_WAIT_MS = 10000 };

static bool with_serial(const char *serial, char *device, size_t size) {
  DIR *dir = opendir("/sys/block");
  struct dirent *entry;
  bool found = false;
  while (dir && !found && (entry = readdir(dir))) {
    if (strncmp(entry->d_name, "vd", 2) != 0 || strlen(entry->d_name) > 32) continue;
    char path[320], value[64];
    snprintf(path, sizeof path, "/sys/block/%s/serial", entry->d_name);
    read_line(path, value, sizeof value);
    found = strcmp(value, serial) == 0;
    if (found) snprintf(device, size, "/dev/%.32s", entry->d_name);
  }
  if (dir) closedir(dir);
  return found;
}

bool find_disk(const char *spec, char *device, size_t size) {
  bool by_serial = strncmp(spec, "serial=", 7) == 0;
  int64_t deadline = now_ms() + DISK_WAIT_MS;
  do {
    if (by_serial) {
      if (with_serial(spec + 7, device, size) && access(device, F_OK) == 0) return true;
    } else if (access(spec, F_OK) == 0) {
      snprintf(device, size, "%s", spec);
      return true;
    }
  } while (poll_again(deadline));
  return false;
}
