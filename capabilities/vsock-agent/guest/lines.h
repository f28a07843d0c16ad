#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// `old` (malloc'd or NULL, `size` bytes) and those lines of `data` that it does not hold yet. To be freed;
// NULL without memory, and then `old` is freed.
char *with_lines(char *old, size_t *size, const char *data);

// Adds the lines of `data` that the file does not hold yet, and keeps the rest.
bool append_lines(const char *path, const char *data, mode_t mode);
