// Files by path, all of them relative to the process's root.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

bool write_all(int fd, const void *data, size_t n);

// The whole file, NUL-terminated, or NULL with errno. The caller frees it. Refuses more than `max`.
char *read_file_at(int dir, const char *path, size_t max, size_t *size);

// Up to `max` bytes from its beginning; 0 where it can't be read.
size_t read_start(const char *path, char *out, size_t max);

// The first line, without its end; "" where the file can't be read.
void read_line(const char *path, char *out, size_t size);

// Makes the folders above `path`: 0755, `.ssh` 0700.
bool make_parents(const char *path);

// A new file beside `path`, its name in `temp` (PATH_MAX bytes). Returns a descriptor or -1.
int create_beside(const char *path, char *temp);

// Written beside and renamed: `path` holds either the old or the new content. Replaces a symlink.
bool write_atomic(const char *path, const void *data, size_t n, mode_t mode);

// Absolute, no `..`, not a folder's name, fits PATH_MAX with a suffix.
bool is_file_path(const char *path);
