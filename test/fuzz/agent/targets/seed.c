// The seed: its config, its manifest, and the addresses in it. A first byte says which.
#include "seed.h"

#include <arpa/inet.h>
#include <string.h>

#include "check.h"
#include "fs.h"
#include "net.h"
#include "text.h"

static void config(char *text) {
  struct seed seed;
  memset(&seed, 0xff, sizeof seed);
  seed_parse(&seed, text);
  CHECK(memchr(seed.hostname, 0, sizeof seed.hostname));
  CHECK(memchr(seed.address, 0, sizeof seed.address));
  CHECK(memchr(seed.gateway, 0, sizeof seed.gateway));
  CHECK(memchr(seed.dns, 0, sizeof seed.dns));
  // resolv.conf's lines, whole ones.
  size_t n = strlen(seed.dns);
  CHECK(n == 0 || (strncmp(seed.dns, "nameserver ", 11) == 0 && seed.dns[n - 1] == '\n'));
}

static void entry(const char *line) {
  struct seed_entry found;
  if (!seed_parse_entry(&found, line)) return;
  CHECK(memchr(found.name, 0, sizeof found.name) && strchr(found.name, '/') == NULL);
  CHECK(found.path > line && found.path < line + strlen(line) && found.path[0] == '/');
  CHECK(strstr(found.path, "/../") == NULL && found.mode <= 07777);
}

static void address(const char *text) {
  struct in_addr own = {0}, mask = {0};
  if (!parse_address(text, &own, &mask)) return;
  uint32_t bits = ntohl(mask.s_addr), zeros = ~bits;
  CHECK(bits != 0 && (zeros & (zeros + 1)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  char *text = text_of(data + 1, size - 1);
  if (data[0] == 'c') config(text);
  else if (data[0] == 'm') entry(text);
  else address(text);
  free(text);
  return 0;
}
