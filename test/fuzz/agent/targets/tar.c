// A tar as it comes: the first byte says in what pieces. What is found is written and read once more, and is the same.
#include "tar-parse.h"

#include <string.h>

#include "check.h"

enum { ENTRIES_MAX = 4096 };

struct seen {
  struct tar_entry entry;
  bool open;
  uint64_t left;
  size_t entries;
};

static void check_name(const char *name) {
  CHECK(memchr(name, 0, TAR_NAME_MAX + 1));
  CHECK(name[0] != '/');
  char copy[TAR_NAME_MAX + 1];
  strcpy(copy, name);
  CHECK(tar_clean_name(copy) && strcmp(copy, name) == 0);
}

static bool again_entry(void *context, const struct tar_entry *entry) {
  struct tar_entry *copy = context;
  *copy = *entry;
  return true;
}

static bool again_data(void *context, const uint8_t *data, size_t size) {
  (void)context, (void)data, (void)size;
  return true;
}

static bool again_done(void *context) {
  (void)context;
  return true;
}

static void check_written(const struct tar_entry *entry) {
  static struct tar_parser parser;
  static const struct tar_sink sink = {again_entry, again_data, again_done};
  static uint8_t header[TAR_HEADERS_MAX];
  struct tar_entry copy = {0};
  uint64_t total = 7;
  size_t size = tar_write_header(header, entry, entry->size % 2 ? &total : NULL);
  CHECK(size <= sizeof header && size % TAR_BLOCK == 0);
  tar_parser_init(&parser);
  CHECK(tar_parse(&parser, &sink, &copy, header, size));
  CHECK(copy.type == entry->type && copy.mode == entry->mode);
  CHECK(copy.uid == entry->uid && copy.gid == entry->gid);
  CHECK(copy.type != TAR_FILE || copy.size == entry->size);
  CHECK(copy.mtime == (entry->mtime < 0 ? 0 : entry->mtime));
  CHECK(strcmp(copy.name, entry->name) == 0);
  CHECK(copy.type != TAR_SYMLINK || strcmp(copy.link, entry->link) == 0);
}

static bool on_entry(void *context, const struct tar_entry *entry) {
  struct seen *seen = context;
  CHECK(!seen->open);
  check_name(entry->name);
  CHECK(memchr(entry->link, 0, sizeof entry->link));
  CHECK(entry->mode <= 07777);
  CHECK(entry->type == TAR_FILE || entry->type == TAR_SYMLINK || entry->type == TAR_FOLDER);
  check_written(entry);
  seen->entry = *entry;
  seen->open = entry->type == TAR_FILE;
  seen->left = entry->size;
  return ++seen->entries < ENTRIES_MAX;
}

static bool on_data(void *context, const uint8_t *data, size_t size) {
  struct seen *seen = context;
  CHECK(seen->open && size > 0 && size <= seen->left);
  // Each byte is there to be read.
  volatile uint8_t sum = 0;
  for (size_t i = 0; i < size; i++) sum = (uint8_t)(sum + data[i]);
  seen->left -= size;
  return true;
}

static bool on_done(void *context) {
  struct seen *seen = context;
  if (seen->entry.type == TAR_FILE) CHECK(seen->open && seen->left == 0);
  seen->open = false;
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct tar_parser parser;
  static const struct tar_sink sink = {on_entry, on_data, on_done};
  struct seen seen = {0};
  if (size == 0) return 0;
  size_t piece = data[0] == 0 ? size : data[0];
  tar_parser_init(&parser);
  for (size_t at = 1; at < size; at += piece) {
    size_t n = size - at < piece ? size - at : piece;
    // A buffer of its own, of just that size.
    uint8_t *copy = malloc(n);
    CHECK(copy);
    memcpy(copy, data + at, n);
    bool more = tar_parse(&parser, &sink, &seen, copy, n);
    free(copy);
    if (!more) return 0;
  }
  if (tar_is_whole(&parser)) CHECK(!seen.open);
  return 0;
}
