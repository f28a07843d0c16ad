#include "stats.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"
#include "proc.h"

enum { SMALL_MAX = 65536, TABLE_MAX = 1 << 20 };

static unsigned count_processes(void) {
  DIR *dir = opendir("/proc");
  unsigned n = 0;
  if (!dir) return 0;
  for (struct dirent *entry; (entry = readdir(dir));)
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') n++;
  closedir(dir);
  return n;
}

// TCP connections with another machine, whoever began them.
static unsigned count_connections(char *buffer) {
  static const char *const paths[] = {"/proc/net/tcp", "/proc/net/tcp6"};
  unsigned n = 0;
  for (int v6 = 0; v6 < 2; v6++) {
    size_t size = read_start(paths[v6], buffer, TABLE_MAX), at = 0;
    struct socket_line socket;
    while (next_socket(buffer, size, &at, v6, &socket))
      if (socket.state == SOCKET_ESTABLISHED && !socket.local_only) n++;
  }
  return n;
}

// "" where that folder is not there, or is on the same file system as `/`.
static void filesystem(const char *path, const char *comma, char *out, size_t size) {
  struct statvfs fs;
  struct stat here, root;
  out[0] = 0;
  bool is_root = path[1] == 0;
  if (!is_root && (stat(path, &here) != 0 || stat("/", &root) != 0 || here.st_dev == root.st_dev))
    return;
  if (statvfs(path, &fs) != 0) return;
  unsigned long long unit = fs.f_frsize;
  int n = snprintf(out, size, "%s{\"mount\":\"%s\",\"size\":%llu,\"used\":%llu,\"available\":%llu}", comma,
                   path, fs.f_blocks * unit, (fs.f_blocks - fs.f_bfree) * unit, fs.f_bavail * unit);
  if (n < 0 || (size_t)n >= size) out[0] = 0;
}

size_t stats_json(char *out, size_t size) {
  char *buffer = malloc(TABLE_MAX), root[192], home[192];
  struct memory memory;
  struct cpu_ticks cpu;
  uint32_t load[3];
  if (!buffer) return 0;
  bool ok = parse_meminfo(buffer, read_start("/proc/meminfo", buffer, SMALL_MAX), &memory) &&
            parse_loadavg(buffer, read_start("/proc/loadavg", buffer, SMALL_MAX), load) &&
            parse_cpu(buffer, read_start("/proc/stat", buffer, TABLE_MAX), &cpu);
  unsigned connections = ok ? count_connections(buffer) : 0;
  free(buffer);
  if (!ok) return 0;
  uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
  filesystem("/", "", root, sizeof root);
  filesystem("/root", root[0] ? "," : "", home, sizeof home);
  int n = snprintf(
      out, size,
      "{\"uptimeMs\":%lld,\"memory\":{\"total\":%llu,\"available\":%llu,\"swapTotal\":%llu,"
      "\"swapFree\":%llu},\"load\":[%u.%02u,%u.%02u,%u.%02u],"
      "\"cpu\":{\"count\":%u,\"busyMs\":%llu,\"totalMs\":%llu},\"processes\":%u,\"connections\":%u,"
      "\"filesystems\":[%s%s]}",
      (long long)now_ms(), (unsigned long long)memory.total, (unsigned long long)memory.available,
      (unsigned long long)memory.swap_total, (unsigned long long)memory.swap_free, load[0] / 100,
      load[0] % 100, load[1] / 100, load[1] % 100, load[2] / 100, load[2] % 100, cpu.count,
      (unsigned long long)(cpu.busy / hz * 1000 + cpu.busy % hz * 1000 / hz),
      (unsigned long long)(cpu.total / hz * 1000 + cpu.total % hz * 1000 / hz), count_processes(),
      connections, root, home);
  return n > 0 && (size_t)n < size ? (size_t)n : 0;
}
