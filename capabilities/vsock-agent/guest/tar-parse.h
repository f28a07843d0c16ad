// A tar, taken apart as its bytes come. It knows no files: what it finds goes to a sink.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tar-format.h"

enum { TAR_RECORDS_MAX = 65536 };

struct tar_sink {
  // Each is false to stop. `data` comes in pieces, then `done` once; a folder or symlink has none of it.
  bool (*entry)(void *context, const struct tar_entry *entry);
  bool (*data)(void *context, const uint8_t *data, size_t size);
  bool (*done)(void *context);
};

enum tar_state { TAR_HEADER, TAR_RECORDS, TAR_DATA, TAR_SKIP, TAR_OVER };

struct tar_parser {
  enum tar_state state;
  uint8_t block[TAR_BLOCK];
  size_t block_size;
  uint8_t records[TAR_RECORDS_MAX];
  size_t records_size;
  bool global;
  uint64_t left;  // of the data, or of the records
  size_t padding; // after them
  struct tar_entry entry;
  bool announced; // by records: the next header is that of an entry
  bool has_name, has_link, has_size, has_mtime; // given by records, for the entry that follows
  // Why tar_parse was false; NULL where the sink wanted no more.
  const char *problem;
};

void tar_parser_init(struct tar_parser *parser);
bool tar_parse(struct tar_parser *parser, const struct tar_sink *sink, void *context,
               const uint8_t *data, size_t size);
// No entry is cut off.
bool tar_is_whole(const struct tar_parser *parser);
