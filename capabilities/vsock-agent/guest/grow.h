// A file system that follows its disk.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Grows the ext4 that `path`, a folder, is on to the size of its disk, which `bytes` tells; where it is as
// large already that is all. False with errno.
bool grow_file_system(const char *path, uint64_t *bytes);
