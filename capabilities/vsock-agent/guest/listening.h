#pragma once
#include <stddef.h>

// The answer to ports: who listens where. Returns its length.
size_t listening_json(char *out, size_t size);
