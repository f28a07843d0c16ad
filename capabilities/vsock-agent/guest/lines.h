#pragma once
#include <stdbool.h>
#include <sys/types.h>

// Adds the lines of `data` that the file does not hold yet, and keeps the rest.
bool append_lines(const char *path, const char *data, mode_t mode);
