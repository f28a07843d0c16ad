#pragma once
#include <stddef.h>

// The answer to healthz. Returns its length.
size_t health_json(char *out, size_t size);
