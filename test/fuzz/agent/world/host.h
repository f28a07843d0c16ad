// The host's end of the wire. Not the guest's own code, which is what is tested, and not slowed by its
// instrumentation.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <stdbool.h>

#include "wire.h"

// A frame as it goes over the wire, its zero included. `out` has room for ENCODED_MAX + 1. Returns its length.
size_t wire_frame(const uint8_t *id, uint8_t type, const void *body, size_t size, uint8_t *out);

// Frames that arrive in pieces.
struct unwire {
  uint8_t rx[ENCODED_MAX];
  size_t size;
};

// Calls `take` with the payload of each whole frame. What is no frame is the test's failure.
void unwire(struct unwire *in, const uint8_t *data, size_t size,
            void (*take)(const uint8_t *payload, size_t size));
