// What is at one path, as a tar that goes out: a first walk measures it, a second one reads it.
#pragma once
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tar-format.h"

enum { TREE_DEPTH_MAX = 200, NOTE_MAX = 600, NOTES_MAX = 50 };

enum tar_out_phase { OUT_MEASURE, OUT_HEADER, OUT_DATA, OUT_PADDING, OUT_END, OUT_OVER };

struct tar_out {
  enum tar_out_phase phase;
  int top; // the path itself: a file or a folder
  dev_t device;
  struct tar_entry entry;
  // The folders that we are in, and where in `entry.name` each one's own name ends.
  DIR *folders[TREE_DEPTH_MAX];
  size_t ends[TREE_DEPTH_MAX];
  size_t depth;
  bool at_top;
  uint64_t total;
  bool total_told;
  int file;
  uint64_t left; // of its data, or of the padding or end
  int notes;
  char note[NOTE_MAX]; // something to tell, where it isn't empty; the caller empties it
  char problem[1024];
};

bool tar_out_open(struct tar_out *out, const char *path);

enum tar_out_result { TAR_OUT_MORE, TAR_OUT_DONE, TAR_OUT_FAILED };

// One step. `size` becomes the bytes that are in `data` (TAR_HEADERS_MAX at least is `room`), perhaps none.
enum tar_out_result tar_out_step(struct tar_out *out, uint8_t *data, size_t room, size_t *size);
void tar_out_close(struct tar_out *out);
