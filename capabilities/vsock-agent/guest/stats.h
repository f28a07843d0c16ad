#pragma once
#include <stddef.h>

// The answer to stats: memory, load, CPU time, file systems. Returns its length.
size_t stats_json(char *out, size_t size);
