#include "identify.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "fs.h"
#include "net.h"
#include "seed.h"

enum { CLOCK_DIGITS = 15, MACHINE_ID_DIGITS = 32 };

void identity_init(struct identity *identity) {
  identity->clock_ms = -1;
  identity->hostname = identity->machine_id = identity->address = identity->gateway = NULL;
  identity->entropy_size = 0;
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_entropy(struct identity *identity, const char *hex) {
  size_t n = strlen(hex);
  if (n == 0 || n % 2 != 0 || n / 2 > ENTROPY_MAX) return false;
  for (size_t i = 0; i < n / 2; i++) {
    int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    identity->entropy[i] = (uint8_t)(high << 4 | low);
  }
  identity->entropy_size = n / 2;
  return true;
}

bool identity_field(struct identity *identity, const char *key, const char *value) {
  struct in_addr any, mask;
  size_t n = strlen(value);
  if (strcmp(key, "clock") == 0) {
    if (n == 0 || n > CLOCK_DIGITS || strspn(value, "0123456789") != n) return false;
    identity->clock_ms = strtoll(value, NULL, 10);
  } else if (strcmp(key, "hostname") == 0) {
    identity->hostname = value;
    return is_host_name(value);
  } else if (strcmp(key, "machine") == 0) {
    identity->machine_id = value;
    return n == MACHINE_ID_DIGITS && strspn(value, "0123456789abcdef") == n;
  } else if (strcmp(key, "address") == 0) {
    identity->address = value;
    return parse_address(value, &any, &mask);
  } else if (strcmp(key, "gateway") == 0) {
    identity->gateway = value;
    return inet_pton(AF_INET, value, &any) == 1;
  } else if (strcmp(key, "entropy") == 0) {
    return take_entropy(identity, value);
  } else {
    return false;
  }
  return true;
}

static bool add_entropy(const struct identity *identity) {
  _Alignas(struct rand_pool_info) uint8_t room[sizeof(struct rand_pool_info) + ENTROPY_MAX];
  struct rand_pool_info *pool = (struct rand_pool_info *)room;
  pool->entropy_count = (int)identity->entropy_size * 8;
  pool->buf_size = (int)identity->entropy_size;
  memcpy(pool->buf, identity->entropy, identity->entropy_size);
  int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  // Without the second the kernel's generator goes on, for a while, as its twins' do.
  bool ok = fd >= 0 && ioctl(fd, RNDADDENTROPY, pool) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
  int saved = errno;
  if (fd >= 0) close(fd);
  errno = saved;
  return ok;
}

static bool set_clock(int64_t ms) {
  struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  return clock_settime(CLOCK_REALTIME, &time) == 0;
}

static bool set_machine_id(const char *id) {
  char line[MACHINE_ID_DIGITS + 2];
  int n = snprintf(line, sizeof line, "%s\n", id);
  return write_atomic("/etc/machine-id", line, (size_t)n, 0444);
}

bool identify(const struct identity *identity, const char **failed) {
  *failed = "entropy";
  if (identity->entropy_size > 0 && !add_entropy(identity)) return false;
  *failed = "clock";
  if (identity->clock_ms >= 0 && !set_clock(identity->clock_ms)) return false;
  *failed = "machine";
  if (identity->machine_id && !set_machine_id(identity->machine_id)) return false;
  *failed = "hostname";
  if (identity->hostname && !set_host_name(identity->hostname)) return false;
  *failed = "address";
  return !identity->address ||
         set_up_network(identity->address, identity->gateway ? identity->gateway : "");
}
