#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

char *text_of(const uint8_t *data, size_t size) {
  size_t n = size > 0 ? strnlen((const char *)data, size) : 0;
  char *text = malloc(n + 1);
  CHECK(text != NULL);
  if (n > 0) memcpy(text, data, n);
  text[n] = 0;
  return text;
}
