// A tar that comes in, unpacked at one path.
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fields.h"
#include "tar-parse.h"

struct untar {
  struct tar_parser parser;
  char target[PATH_MAX]; // where the tar's root goes
  int root;              // that folder; -1 until the first entry has told that it is one
  // The folder of the entry, open, and its name below `root`: entries come folder by folder.
  int folder;
  char folder_name[TAR_NAME_MAX + 1];
  int file; // being written beside its name, `temp` in `folder`
  char temp[32], leaf[NAME_MAX + 1];
  struct tar_entry entry; // that file's
  bool begun;
  char problem[1024];
};

// False with `problem` set, here and below. What was unpacked stays; a file that was being written does not.
bool untar_open(struct untar *untar, const struct request *request);
bool untar_write(struct untar *untar, const uint8_t *data, size_t size);
bool untar_end(struct untar *untar);
// Safe at any time after untar_open, also after a failure.
void untar_close(struct untar *untar);
