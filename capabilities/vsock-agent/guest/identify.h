// Makes a guest that is a copy (restored from a saved state) one of its own.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENTROPY_MAX = 256 };

// What was asked for; NULL, 0 or -1 is left as it is.
struct identity {
  int64_t clock_ms; // since 1970
  const char *hostname, *machine_id, *address, *gateway;
  uint8_t entropy[ENTROPY_MAX];
  size_t entropy_size;
};

void identity_init(struct identity *identity);

// Takes a field of the request. False: it is not one of these, or malformed.
bool identity_field(struct identity *identity, const char *key, const char *value);

// True, or false with errno, and `failed` is what could not be set. Entropy comes first: what draws on it later
// is then its own.
bool identify(const struct identity *identity, const char **failed);
