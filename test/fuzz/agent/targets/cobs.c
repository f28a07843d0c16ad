// COBS: what decodes is what its own encoding decodes to, and any bytes survive both.
#include "cobs.h"

#include <string.h>

#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t room = size + size / 254 + 1;
  uint8_t *coded = malloc(room), *plain = malloc(size > 0 ? size : 1);
  CHECK(coded && plain);

  size_t n = cobs_encode(data, size, coded);
  CHECK(n <= room && memchr(coded, 0, n) == NULL);
  CHECK(cobs_decode(coded, n) == (ssize_t)size && (size == 0 || memcmp(coded, data, size) == 0));

  if (size > 0) memcpy(plain, data, size);
  ssize_t decoded = cobs_decode(plain, size);
  CHECK(decoded <= (ssize_t)size);
  if (decoded >= 0) {
    n = cobs_encode(plain, (size_t)decoded, coded);
    CHECK(cobs_decode(coded, n) == decoded && memcmp(coded, plain, (size_t)decoded) == 0);
  }
  free(coded);
  free(plain);
  return 0;
}
