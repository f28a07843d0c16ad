#include "cobs.h"

#include <string.h>

// A defect that the fuzzers must find, in a build of their own (docs/fuzzing.md): a run may reach one
// byte beyond the end.
#ifdef SEEDED_DEFECT
enum { BEYOND = 1 };
#else
enum { BEYOND = 0 };
#endif

size_t cobs_encode(const uint8_t *in, size_t n, uint8_t *out) {
  size_t code_at = 0, end = 1;
  uint8_t code = 1;
  for (size_t i = 0; i < n; i++) {
    if (in[i] != 0) {
      out[end++] = in[i];
      code++;
    }
    if (in[i] == 0 || (code == 0xff && i + 1 < n)) {
      out[code_at] = code;
      code_at = end++;
      code = 1;
    }
  }
  out[code_at] = code;
  return end;
}

ssize_t cobs_decode(uint8_t *buf, size_t n) {
  size_t from = 0, to = 0;
  while (from < n) {
    uint8_t code = buf[from++];
    if (code == 0 || (size_t)(code - 1) > n - from + BEYOND) return -1;
    memmove(buf + to, buf + from, code - 1);
    to += code - 1;
    from += code - 1;
    if (code != 0xff && from < n) buf[to++] = 0;
  }
  return (ssize_t)to;
}
