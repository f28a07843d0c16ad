#include "host.h"

#include <string.h>

#include "check.h"

size_t wire_frame(const uint8_t *id, uint8_t type, const void *body, size_t size, uint8_t *out) {
  static uint8_t payload[PAYLOAD_MAX];
  memcpy(payload, id, ID_SIZE);
  payload[ID_SIZE] = type;
  if (size > 0) memcpy(payload + HEADER_SIZE, body, size);
  const uint8_t *from = payload, *end = payload + HEADER_SIZE + size;
  size_t at = 0;
  // A run of up to 254 bytes, which ends at a zero that is left out, or at the end.
  for (bool more = true; more;) {
    size_t left = (size_t)(end - from), most = left < 254 ? left : 254;
    const uint8_t *zero = most > 0 ? memchr(from, 0, most) : NULL;
    size_t run = zero ? (size_t)(zero - from) : most;
    out[at++] = (uint8_t)(run + 1);
    memcpy(out + at, from, run);
    at += run;
    from += run;
    more = zero != NULL || from < end;
    if (zero) from++;
  }
  out[at++] = 0;
  return at;
}

static size_t decoded(uint8_t *data, size_t size) {
  size_t from = 0, to = 0;
  while (from < size) {
    size_t run = data[from++] - 1u;
    CHECK(run <= size - from);
    memmove(data + to, data + from, run);
    to += run;
    from += run;
    if (run < 254 && from < size) data[to++] = 0;
  }
  return to;
}

void unwire(struct unwire *in, const uint8_t *data, size_t size,
            void (*take)(const uint8_t *payload, size_t size)) {
  while (size > 0) {
    const uint8_t *zero = memchr(data, 0, size);
    size_t n = zero ? (size_t)(zero - data) : size;
    CHECK(n <= sizeof in->rx - in->size);
    memcpy(in->rx + in->size, data, n);
    in->size += n;
    if (!zero) return;
    data += n + 1;
    size -= n + 1;
    // An empty one is nothing.
    if (in->size > 0) take(in->rx, decoded(in->rx, in->size));
    in->size = 0;
  }
}
