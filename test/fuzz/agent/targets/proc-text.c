// The text of /proc: the first byte says which file's.
#include "proc.h"

#include <string.h>

#include "check.h"

enum { SOCKETS_MAX = 1 << 16 };

static void sockets(const char *text, size_t size, bool v6) {
  struct socket_line socket;
  size_t at = 0, before = 0, n = 0;
  while (next_socket(text, size, &at, v6, &socket)) {
    CHECK(at > before && at <= size);
    // Each is of a whole line.
    CHECK(text[at - 1] == '\n');
    CHECK(++n < SOCKETS_MAX);
    before = at;
  }
  CHECK(at <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  // A buffer of its own, of just that size and without a NUL.
  size_t n = size - 1;
  char *text = malloc(n);
  CHECK(text || n == 0);
  if (n > 0) memcpy(text, data + 1, n);
  struct memory memory;
  struct cpu_ticks cpu;
  uint32_t load[3];
  switch (data[0]) {
    case '4': sockets(text, n, false); break;
    case '6': sockets(text, n, true); break;
    case 'm':
      if (parse_meminfo(text, n, &memory)) CHECK(memory.total % 1024 == 0 && memory.swap_free % 1024 == 0);
      break;
    case 'l':
      if (parse_loadavg(text, n, load))
        for (int i = 0; i < 3; i++) CHECK(load[i] <= 100000099);
      break;
    case 'c':
      if (parse_cpu(text, n, &cpu)) CHECK(cpu.count > 0 && cpu.busy <= cpu.total);
      break;
  }
  free(text);
  return 0;
}
