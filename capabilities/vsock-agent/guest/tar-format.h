// The tar format, as far as it is spoken here: ustar headers with pax records (POSIX.1-2017, pax). Functions over
// buffers: nothing here touches a file.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  TAR_BLOCK = 512,
  TAR_NAME_MAX = 4095, // PATH_MAX, without its NUL
  // A pax header, the records (hexadecimal takes two bytes for one), and the entry's own header.
  TAR_HEADERS_MAX = 2 * TAR_BLOCK + 4 * TAR_NAME_MAX + 2 * TAR_BLOCK,
};

enum tar_type { TAR_FILE = '0', TAR_SYMLINK = '2', TAR_FOLDER = '5' };

// Vendor's records: a name that is no UTF-8 in hexadecimal, since pax says that its own are UTF-8; and the bytes
// of all files, on the first entry, for those who show progress.
#define TAR_RAW_NAME "BANGER.name"
#define TAR_RAW_LINK "BANGER.link"
#define TAR_TOTAL "BANGER.total"

struct tar_entry {
  char type;
  uint32_t mode; // 07777
  uint32_t uid, gid;
  uint64_t size;
  int64_t mtime; // seconds
  // Relative, without `.` and `..` and slashes at its end; empty for the tree's root. Any bytes but NUL.
  char name[TAR_NAME_MAX + 1];
  char link[TAR_NAME_MAX + 1];
};

// Into `out` (TAR_HEADERS_MAX bytes). `total`, where it is not NULL, becomes the entry's TAR_TOTAL.
size_t tar_write_header(uint8_t *out, const struct tar_entry *entry, const uint64_t *total);

// Bytes from the end of an entry's data to the next block.
size_t tar_padding(uint64_t size);

// Makes it the form of tar_entry's. False for an absolute one and for one that leads upwards.
bool tar_clean_name(char *name);
