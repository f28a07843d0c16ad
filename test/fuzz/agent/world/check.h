// What a target holds to be true of each input.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// libFuzzer calls it with each input.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                       \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                  \
      abort();                                                                                 \
    }                                                                                          \
  } while (0)
