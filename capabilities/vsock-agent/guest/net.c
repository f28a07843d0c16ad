#include "net.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"
#include "log.h"

enum { NIC_WAIT_MS = 5000 };

static bool bring_up(int fd, const char *name) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags |= IFF_UP;
  return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

static bool set_address(int fd, const char *name, unsigned long command, struct in_addr value) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
  address->sin_family = AF_INET;
  address->sin_addr = value;
  return ioctl(fd, command, &request) == 0;
}

static bool add_default_route(int fd, struct in_addr gateway) {
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  struct sockaddr_in any = {.sin_family = AF_INET};
  struct sockaddr_in via = {.sin_family = AF_INET, .sin_addr = gateway};
  memcpy(&route.rt_dst, &any, sizeof any);
  memcpy(&route.rt_genmask, &any, sizeof any);
  memcpy(&route.rt_gateway, &via, sizeof via);
  return ioctl(fd, SIOCADDRT, &route) == 0 || errno == EEXIST;
}

// The Ethernet interface that the kernel found first.
static bool find_nic(char *name) {
  DIR *dir = opendir("/sys/class/net");
  struct dirent *entry;
  int best = 0;
  while (dir && (entry = readdir(dir))) {
    char path[320], value[32];
    if (entry->d_name[0] == '.' || strlen(entry->d_name) >= IFNAMSIZ) continue;
    snprintf(path, sizeof path, "/sys/class/net/%s/type", entry->d_name);
    read_line(path, value, sizeof value);
    snprintf(path, sizeof path, "/sys/class/net/%s/device", entry->d_name);
    if (atoi(value) != ARPHRD_ETHER || access(path, F_OK) != 0) continue;
    snprintf(path, sizeof path, "/sys/class/net/%s/ifindex", entry->d_name);
    read_line(path, value, sizeof value);
    int index = atoi(value);
    if (index <= 0 || (best > 0 && index > best)) continue;
    best = index;
    snprintf(name, IFNAMSIZ, "%.15s", entry->d_name);
  }
  if (dir) closedir(dir);
  return best > 0;
}

bool parse_address(const char *text, struct in_addr *address, struct in_addr *mask) {
  char copy[64];
  snprintf(copy, sizeof copy, "%s", text);
  char *slash = strchr(copy, '/');
  if (!slash) return false;
  *slash = 0;
  int bits = atoi(slash + 1);
  if (bits < 1 || bits > 32) return false;
  mask->s_addr = htonl(UINT32_MAX << (32 - bits));
  return inet_pton(AF_INET, copy, address) == 1;
}

static bool configure(int fd, const char *address, const char *gateway) {
  struct in_addr own, mask, via;
  char nic[IFNAMSIZ];
  if (!parse_address(address, &own, &mask) || (*gateway && inet_pton(AF_INET, gateway, &via) != 1)) {
    errno = EINVAL;
    return false;
  }
  int64_t deadline = now_ms() + NIC_WAIT_MS;
  while (!find_nic(nic))
    if (!poll_again(deadline)) {
      errno = ENODEV;
      return false;
    }
  return set_address(fd, nic, SIOCSIFADDR, own) && set_address(fd, nic, SIOCSIFNETMASK, mask) &&
         bring_up(fd, nic) && (*gateway == 0 || add_default_route(fd, via));
}

bool set_up_network(const char *address, const char *gateway) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool ok = fd >= 0 && bring_up(fd, "lo") && (*address == 0 || configure(fd, address, gateway));
  if (!ok) warn("network %s: %s", address, strerror(errno));
  if (fd >= 0) close(fd);
  return ok;
}
