#include "proc.h"

#include <string.h>

// A window on a buffer: reading beyond its end gives 0, which no parser takes for anything.
struct cursor {
  const char *at, *end;
};

static char peek(const struct cursor *c) { return c->at < c->end ? *c->at : 0; }

static void skip_spaces(struct cursor *c) {
  while (peek(c) == ' ' || peek(c) == '\t') c->at++;
}

static void skip_word(struct cursor *c) {
  skip_spaces(c);
  while (c->at < c->end && *c->at != ' ' && *c->at != '\t') c->at++;
}

static bool literal(struct cursor *c, const char *text) {
  size_t n = strlen(text);
  if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0) return false;
  c->at += n;
  return true;
}

static bool decimal(struct cursor *c, uint64_t *out) {
  skip_spaces(c);
  if (peek(c) < '0' || peek(c) > '9') return false;
  uint64_t value = 0;
  for (; peek(c) >= '0' && peek(c) <= '9'; c->at++) {
    if (value > (UINT64_MAX - 9) / 10) return false;
    value = value * 10 + (uint64_t)(*c->at - '0');
  }
  *out = value;
  return true;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

static bool hex(struct cursor *c, int digits, uint32_t *out) {
  uint32_t value = 0;
  for (int i = 0; i < digits; i++, c->at++) {
    int digit = hex_digit(peek(c));
    if (digit < 0) return false;
    value = value << 4 | (uint32_t)digit;
  }
  *out = value;
  return true;
}

// The line at `*at`, which moves behind it; false where there is no whole one any more.
static bool next_line(const char *text, size_t size, size_t *at, struct cursor *line) {
  const char *newline = *at < size ? memchr(text + *at, '\n', size - *at) : NULL;
  if (!newline) return false;
  *line = (struct cursor){text + *at, newline};
  *at = (size_t)(newline - text) + 1;
  return true;
}

// The kernel prints an address as 32-bit words in its own byte order.
static bool endpoint(struct cursor *c, bool v6, uint8_t address[16], uint32_t *port) {
  memset(address, 0, 16);
  for (int i = 0; i < (v6 ? 4 : 1); i++) {
    uint32_t word;
    if (!hex(c, 8, &word)) return false;
    memcpy(address + 4 * i, &word, 4);
  }
  return literal(c, ":") && hex(c, 4, port);
}

static bool is_loopback(const uint8_t *address, bool v6) {
  static const uint8_t one[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};
  if (!v6) return address[0] == 127;
  return memcmp(address, one, 16) == 0 || (memcmp(address, mapped, 12) == 0 && address[12] == 127);
}

//   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 …
static bool socket_of(struct cursor *c, bool v6, struct socket_line *out) {
  uint8_t remote[16];
  uint32_t port, remote_port, state;
  uint64_t slot;
  if (!decimal(c, &slot) || !literal(c, ":")) return false;
  skip_spaces(c);
  if (!endpoint(c, v6, out->address, &port)) return false;
  skip_spaces(c);
  if (!endpoint(c, v6, remote, &remote_port)) return false;
  skip_spaces(c);
  if (!hex(c, 2, &state)) return false;
  // Queues, timer, retransmissions, owner and its time-out come before the inode.
  for (int i = 0; i < 5; i++) skip_word(c);
  if (!decimal(c, &out->inode)) return false;
  out->port = (uint16_t)port;
  out->state = (uint8_t)state;
  out->local_only = is_loopback(remote, v6) || memcmp(remote, out->address, 16) == 0;
  return true;
}

bool next_socket(const char *text, size_t size, size_t *at, bool v6, struct socket_line *out) {
  struct cursor line;
  while (next_line(text, size, at, &line))
    if (socket_of(&line, v6, out)) return true;
  return false;
}

bool parse_meminfo(const char *text, size_t size, struct memory *out) {
  const struct {
    const char *name;
    uint64_t *value;
  } wanted[] = {
      {"MemTotal:", &out->total},
      {"MemAvailable:", &out->available},
      {"SwapTotal:", &out->swap_total},
      {"SwapFree:", &out->swap_free},
  };
  struct cursor line;
  unsigned found = 0;
  *out = (struct memory){0};
  for (size_t at = 0; next_line(text, size, &at, &line);) {
    for (unsigned i = 0; i < 4; i++) {
      uint64_t kib;
      struct cursor c = line;
      if (!literal(&c, wanted[i].name) || !decimal(&c, &kib) || kib > UINT64_MAX / 1024) continue;
      *wanted[i].value = kib * 1024;
      found |= 1u << i;
    }
  }
  return (found & 3) == 3; // a kernel without swap may leave the rest out
}

bool parse_loadavg(const char *text, size_t size, uint32_t out[3]) {
  struct cursor c = {text, text + size};
  for (int i = 0; i < 3; i++) {
    uint64_t whole, part;
    if (!decimal(&c, &whole) || whole > 1000000 || !literal(&c, ".")) return false;
    const char *from = c.at;
    if (!decimal(&c, &part) || c.at - from != 2) return false;
    out[i] = (uint32_t)(whole * 100 + part);
  }
  return true;
}

// cpu  user nice system idle iowait irq softirq steal guest guest_nice: the last two are in the first two.
bool parse_cpu(const char *text, size_t size, struct cpu_ticks *out) {
  struct cursor line;
  bool found = false;
  *out = (struct cpu_ticks){0};
  for (size_t at = 0; next_line(text, size, &at, &line);) {
    if (!literal(&line, "cpu")) continue;
    if (peek(&line) >= '0' && peek(&line) <= '9') {
      out->count++;
    } else if (peek(&line) == ' ' && !found) {
      uint64_t ticks;
      for (int i = 0; i < 8 && decimal(&line, &ticks); i++) {
        if (ticks > UINT64_MAX / 16) return false;
        out->total += ticks;
        if (i != 3 && i != 4) out->busy += ticks;
        found |= i == 3;
      }
    }
  }
  return found && out->count > 0;
}
