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

bool is_host_name(const char *name) {
  size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
  return n > 0 && n < 65 && name[n] == 0;
}

// A line that does not fit is left out: half an address is another one.
static void add_resolver(struct seed *seed, const char *address) {
  size_t used = strlen(seed->dns), room = sizeof seed->dns - used;
  int n = snprintf(seed->dns + used, room, "nameserver %s\n", address);
  if (n < 0 || (size_t)n >= room) seed->dns[used] = 0;
}

static void set(struct seed *seed, const char *key, const char *value) {
  struct in6_addr any;
  if (strcmp(key, "hostname") == 0 && is_host_name(value)) {
    snprintf(seed->hostname, sizeof seed->hostname, "%s", value);
  } else if (strcmp(key, "address") == 0) {
    snprintf(seed->address, sizeof seed->address, "%s", value);
  } else if (strcmp(key, "gateway") == 0) {
    snprintf(seed->gateway, sizeof seed->gateway, "%s", value);
  } else if (strcmp(key, "dns") == 0 &&
             (inet_pton(AF_INET, value, &any) == 1 || inet_pton(AF_INET6, value, &any) == 1)) {
    add_resolver(seed, value);
  } else {
    warn("seed: what is %s=%s?", key, value);
  }
}

void seed_parse(struct seed *seed, char *config) {
  memset(seed, 0, sizeof *seed);
  char *rest = NULL;
  for (char *line = strtok_r(config, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    char *equals = strchr(line, '=');
    if (!equals) continue;
    *equals = 0;
    set(seed, line, equals + 1);
  }
}

void seed_read(struct seed *seed, int dir) {
  char none[] = "";
  char *config = read_file_at(dir, "config", CONFIG_MAX, NULL);
  seed_parse(seed, config ? config : none);
  free(config);
}

bool seed_parse_entry(struct seed_entry *entry, const char *line) {
  char kind[8];
  unsigned mode;
  int at = 0;
  if (sscanf(line, "%7s %o %31s %n", kind, &mode, entry->name, &at) != 3 || at == 0) return false;
  entry->append = strcmp(kind, "line") == 0;
  entry->mode = (mode_t)mode;
  entry->path = line + at;
  return (entry->append || strcmp(kind, "file") == 0) && strchr(entry->name, '/') == NULL &&
         mode <= 07777 && is_file_path(entry->path);
}

static bool apply_entry(int dir, const struct seed_entry *entry) {
  size_t size;
  char *data = read_file_at(dir, entry->name, SEED_FILE_MAX, &size);
  bool ok = data && make_parents(entry->path) &&
            (entry->append ? append_lines(entry->path, data, entry->mode)
                           : write_atomic(entry->path, data, size, entry->mode));
  free(data);
  return ok;
}

static void apply_manifest(int dir) {
  char *manifest = read_file_at(dir, "manifest", CONFIG_MAX, NULL);
  char *rest = NULL;
  for (char *line = manifest ? strtok_r(manifest, "\n", &rest) : NULL; line;
       line = strtok_r(NULL, "\n", &rest)) {
    struct seed_entry entry;
    if (!seed_parse_entry(&entry, line)) warn("seed: not an entry: %s", line);
    else if (!apply_entry(dir, &entry)) warn("seed: %s: %s", entry.path, strerror(errno));
  }
  free(manifest);
}

bool set_host_name(const char *name) {
  char text[80];
  int n = snprintf(text, sizeof text, "%s\n", name);
  return sethostname(name, strlen(name)) == 0 &&
         write_atomic("/etc/hostname", text, (size_t)n, 0644) && name_in_hosts(name);
}

void seed_apply(const struct seed *seed, int dir) {
  if (seed->hostname[0] && !set_host_name(seed->hostname))
    warn("seed: hostname: %s", strerror(errno));
  if (seed->dns[0] && !write_atomic("/etc/resolv.conf", seed->dns, strlen(seed->dns), 0644))
    warn("seed: resolv.conf: %s", strerror(errno));
  apply_manifest(dir);
}
