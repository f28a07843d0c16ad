#include "listening.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs.h"
#include "plain.h"
#include "proc.h"

// One entry is at most 150 bytes of JSON, so that all of them fit into a REPLY.
enum {
  LISTENING_MAX = 200,
  TABLE_MAX = 1 << 20, // of one /proc/net file; the kernel lists listening TCP sockets first
  LINKS_MAX = 100000,  // open files that are looked at
};

struct listener {
  const char *protocol;
  char address[INET6_ADDRSTRLEN];
  uint16_t port;
  uint64_t inode;
  int pid;
  char name[17];
};

struct found {
  struct listener list[LISTENING_MAX];
  size_t count;
  bool more;
};

static void add(struct found *found, const char *protocol, bool v6, const struct socket_line *socket) {
  if (found->count == LISTENING_MAX) {
    found->more = true;
    return;
  }
  struct listener *listener = &found->list[found->count++];
  *listener = (struct listener){.protocol = protocol, .port = socket->port, .inode = socket->inode};
  inet_ntop(v6 ? AF_INET6 : AF_INET, socket->address, listener->address, sizeof listener->address);
}

static void read_table(struct found *found, const char *name, char *buffer) {
  char path[64];
  snprintf(path, sizeof path, "/proc/net/%s", name);
  size_t size = read_start(path, buffer, TABLE_MAX), at = 0;
  bool tcp = name[0] == 't', v6 = strlen(name) == 4;
  struct socket_line socket;
  while (next_socket(buffer, size, &at, v6, &socket))
    if (socket.state == (tcp ? SOCKET_LISTEN : SOCKET_UNCONNECTED) && socket.port != 0)
      add(found, tcp ? "tcp" : "udp", v6, &socket);
}

static int pid_of(const char *name) {
  char *end;
  long pid = strtol(name, &end, 10);
  return name[0] >= '1' && name[0] <= '9' && *end == 0 && pid <= INT32_MAX ? (int)pid : 0;
}

// Sets the process of what has that inode. The first one that holds it stands for all.
static size_t claim_inode(struct found *found, uint64_t inode, int pid) {
  size_t n = 0;
  for (size_t i = 0; i < found->count; i++) {
    struct listener *listener = &found->list[i];
    if (listener->inode != inode || listener->pid != 0) continue;
    char path[64];
    listener->pid = pid;
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    read_line(path, listener->name, sizeof listener->name);
    plain(listener->name);
    n++;
  }
  return n;
}

static size_t look_into(struct found *found, int pid, size_t *links) {
  char path[64];
  size_t n = 0;
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *dir = opendir(path);
  if (!dir) return 0; // a process that is gone, or not ours to look at
  for (struct dirent *entry; *links > 0 && (entry = readdir(dir)); (*links)--) {
    char target[64];
    ssize_t size = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
    if (size <= 0) continue;
    target[size] = 0;
    unsigned long long inode;
    if (sscanf(target, "socket:[%llu]", &inode) == 1) n += claim_inode(found, inode, pid);
  }
  closedir(dir);
  return n;
}

static void find_processes(struct found *found) {
  size_t left = found->count, links = LINKS_MAX;
  DIR *dir = left > 0 ? opendir("/proc") : NULL;
  if (!dir) return;
  for (struct dirent *entry; left > 0 && links > 0 && (entry = readdir(dir));) {
    int pid = pid_of(entry->d_name);
    if (pid > 0) left -= look_into(found, pid, &links);
  }
  closedir(dir);
}

size_t listening_json(char *out, size_t size) {
  static const char *const tables[] = {"tcp", "tcp6", "udp", "udp6"};
  struct found *found = calloc(1, sizeof *found);
  char *buffer = malloc(TABLE_MAX);
  size_t at = 0;
  if (found && buffer) {
    for (size_t i = 0; i < 4; i++) read_table(found, tables[i], buffer);
    find_processes(found);
    at = (size_t)snprintf(out, size, "{\"ports\":[");
    for (size_t i = 0; i < found->count; i++) {
      const struct listener *l = &found->list[i];
      char entry[192];
      int n = snprintf(entry, sizeof entry,
                       "%s{\"protocol\":\"%s\",\"address\":\"%s\",\"port\":%u,\"pid\":%d,"
                       "\"process\":\"%s\"}",
                       i == 0 ? "" : ",", l->protocol, l->address, l->port, l->pid, l->name);
      if (n < 0 || at + (size_t)n + 16 > size) {
        found->more = true;
        break;
      }
      memcpy(out + at, entry, (size_t)n);
      at += (size_t)n;
    }
    at += (size_t)snprintf(out + at, size - at, "],\"more\":%s}", found->more ? "true" : "false");
  }
  free(buffer);
  free(found);
  return at;
}
