#include "seed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs.h"
#include "hosts.h"
#include "lines.h"
#include "log.h"

enum { CONFIG_MAX = 65536, SEED_FILE_MAX = 16 << 20 };

static bool is_host_name(const char *name) {
  size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
  return n > 0 && n < 65 && name[n] == 0;
}

static void set(struct seed *seed, const char *key, const char *value) {
  struct in6_addr any;
  size_t used = strlen(seed->dns);
  if (strcmp(key, "hostname") == 0 && is_host_name(value)) {
    snprintf(seed->hostname, sizeof seed->hostname, "%s", value);
  } else if (strcmp(key, "address") == 0) {
    snprintf(seed->address, sizeof seed->address, "%s", value);
  } else if (strcmp(key, "gateway") == 0) {
    snprintf(seed->gateway, sizeof seed->gateway, "%s", value);
  } else if (strcmp(key, "dns") == 0 &&
             (inet_pton(AF_INET, value, &any) == 1 || inet_pton(AF_INET6, value, &any) == 1)) {
    snprintf(seed->dns + used, sizeof seed->dns - used, "nameserver %s\n", value);
  } else {
    warn("seed: what is %s=%s?", key, value);
  }
}

void seed_read(struct seed *seed, int dir) {
  memset(seed, 0, sizeof *seed);
  char *config = read_file_at(dir, "config", CONFIG_MAX, NULL);
  char *rest = NULL;
  for (char *line = config ? strtok_r(config, "\n", &rest) : NULL; line;
       line = strtok_r(NULL, "\n", &rest)) {
    char *equals = strchr(line, '=');
    if (!equals) continue;
    *equals = 0;
    set(seed, line, equals + 1);
  }
  free(config);
}

static bool apply_entry(int dir, const char *kind, mode_t mode, const char *name,
                        const char *path) {
  size_t size;
  char *data = read_file_at(dir, name, SEED_FILE_MAX, &size);
  bool ok = data && make_parents(path) &&
            (strcmp(kind, "line") == 0 ? append_lines(path, data, mode)
                                       : write_atomic(path, data, size, mode));
  free(data);
  return ok;
}

static void apply_manifest(int dir) {
  char *manifest = read_file_at(dir, "manifest", CONFIG_MAX, NULL);
  char *rest = NULL;
  for (char *line = manifest ? strtok_r(manifest, "\n", &rest) : NULL; line;
       line = strtok_r(NULL, "\n", &rest)) {
    char kind[8], name[32];
    unsigned mode;
    int at = 0;
    bool known = sscanf(line, "%7s %o %31s %n", kind, &mode, name, &at) == 3 && at > 0 &&
                 (strcmp(kind, "file") == 0 || strcmp(kind, "line") == 0) &&
                 strchr(name, '/') == NULL && mode <= 07777 && is_file_path(line + at);
    if (!known) warn("seed: not an entry: %s", line);
    else if (!apply_entry(dir, kind, (mode_t)mode, name, line + at))
      warn("seed: %s: %s", line + at, strerror(errno));
  }
  free(manifest);
}

void seed_apply(const struct seed *seed, int dir) {
  char text[80];
  if (seed->hostname[0]) {
    int n = snprintf(text, sizeof text, "%s\n", seed->hostname);
    if (sethostname(seed->hostname, strlen(seed->hostname)) != 0 ||
        !write_atomic("/etc/hostname", text, (size_t)n, 0644) || !name_in_hosts(seed->hostname))
      warn("seed: hostname: %s", strerror(errno));
  }
  if (seed->dns[0] && !write_atomic("/etc/resolv.conf", seed->dns, strlen(seed->dns), 0644))
    warn("seed: resolv.conf: %s", strerror(errno));
  apply_manifest(dir);
}
