#include "ports.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "fs.h"

#define PORT_NAME "org.banger.agent."

size_t find_ports(struct port *ports, size_t max) {
  DIR *dir = opendir("/sys/class/virtio-ports");
  struct dirent *entry;
  size_t n = 0;
  while (dir && n < max && (entry = readdir(dir))) {
    char path[320], name[64];
    if (entry->d_name[0] == '.' || strlen(entry->d_name) > 32) continue;
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    read_line(path, name, sizeof name);
    if (strncmp(name, PORT_NAME, strlen(PORT_NAME)) != 0) continue;
    snprintf(ports[n++].device, sizeof ports[0].device, "/dev/%.32s", entry->d_name);
  }
  if (dir) closedir(dir);
  return n;
}
