#include "tar-parse.h"

#include <string.h>

enum { NAME = 100, PREFIX = 155 };

void tar_parser_init(struct tar_parser *parser) { memset(parser, 0, sizeof *parser); }

bool tar_is_whole(const struct tar_parser *parser) {
  bool between = (parser->state == TAR_HEADER && parser->block_size == 0) ||
                 (parser->state == TAR_SKIP && parser->padding == 0);
  return parser->state == TAR_OVER || (between && !parser->announced);
}

static bool fail(struct tar_parser *parser, const char *problem) {
  parser->problem = problem;
  return false;
}

// Octal between spaces, or base 256 where the first bit is set. No number is as large as 2^62.
static bool get_number(const uint8_t *at, size_t size, uint64_t *value) {
  uint64_t n = 0;
  size_t i = 0;
  if (at[0] & 0x80) {
    n = at[0] & 0x3f;
    for (i = 1; i < size; i++) {
      if (n >> 54) return false;
      n = n << 8 | at[i];
    }
    *value = n;
    return (at[0] & 0x40) == 0; // negative ones
  }
  while (i < size && at[i] == ' ') i++;
  for (; i < size && at[i] >= '0' && at[i] <= '7'; i++) n = n << 3 | (at[i] - '0'); // 12 digits at most
  *value = n;
  return i == size || at[i] == ' ' || at[i] == 0;
}

static bool get_decimal(const uint8_t *at, size_t size, uint64_t *value) {
  uint64_t n = 0;
  if (size == 0 || size > 18) return false;
  for (size_t i = 0; i < size; i++) {
    if (at[i] < '0' || at[i] > '9') return false;
    n = n * 10 + (at[i] - '0');
  }
  *value = n;
  return true;
}

static bool get_text(char *out, const uint8_t *at, size_t size) {
  if (size > TAR_NAME_MAX || memchr(at, 0, size)) return false;
  memcpy(out, at, size);
  out[size] = 0;
  return true;
}

static int hex_digit(uint8_t c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool get_hex(char *out, const uint8_t *at, size_t size) {
  if (size % 2 != 0 || size / 2 > TAR_NAME_MAX) return false;
  for (size_t i = 0; i < size / 2; i++) {
    int high = hex_digit(at[2 * i]), low = hex_digit(at[2 * i + 1]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
    out[i] = (char)(high << 4 | low);
  }
  out[size / 2] = 0;
  return true;
}

static bool is_key(const uint8_t *at, size_t size, const char *key) {
  return size == strlen(key) && memcmp(at, key, size) == 0;
}

// Keys that it does not know are others' business.
static bool take_record(struct tar_parser *parser, const uint8_t *key, size_t key_size,
                        const uint8_t *value, size_t size) {
  struct tar_entry *entry = &parser->entry;
  uint64_t n;
  if (is_key(key, key_size, "path") || is_key(key, key_size, TAR_RAW_NAME)) {
    parser->has_name = true;
    return key[0] == 'p' ? get_text(entry->name, value, size) : get_hex(entry->name, value, size);
  }
  if (is_key(key, key_size, "linkpath") || is_key(key, key_size, TAR_RAW_LINK)) {
    parser->has_link = true;
    return key[0] == 'l' ? get_text(entry->link, value, size) : get_hex(entry->link, value, size);
  }
  if (is_key(key, key_size, "size")) {
    parser->has_size = true;
    return get_decimal(value, size, &entry->size);
  }
  if (is_key(key, key_size, "mtime")) {
    const uint8_t *dot = memchr(value, '.', size);
    parser->has_mtime = get_decimal(value, dot ? (size_t)(dot - value) : size, &n);
    if (parser->has_mtime) entry->mtime = (int64_t)n;
  }
  return true;
}

static bool take_records(struct tar_parser *parser) {
  const uint8_t *at = parser->records, *end = at + parser->records_size;
  while (at < end) {
    const uint8_t *space = memchr(at, ' ', (size_t)(end - at));
    uint64_t length;
    if (!space || !get_decimal(at, (size_t)(space - at), &length)) return false;
    if (length > (uint64_t)(end - at) || at + length <= space + 1) return false;
    const uint8_t *next = at + length, *key = space + 1;
    const uint8_t *equals = memchr(key, '=', (size_t)(next - key));
    if (!equals || next[-1] != '\n' || equals >= next - 1) return false;
    if (!take_record(parser, key, (size_t)(equals - key), equals + 1,
                     (size_t)(next - 1 - (equals + 1))))
      return false;
    at = next;
  }
  return true;
}

static void forget_records(struct tar_parser *parser) {
  parser->announced = parser->has_name = parser->has_link = false;
  parser->has_size = parser->has_mtime = false;
}

static bool checks_out(const uint8_t *block) {
  uint64_t told;
  unsigned sum = 8 * ' ';
  for (size_t i = 0; i < TAR_BLOCK; i++) sum += i >= 148 && i < 156 ? 0 : block[i];
  return get_number(block + 148, 8, &told) && told == sum;
}

static void header_name(struct tar_entry *entry, const uint8_t *block) {
  size_t prefix = strnlen((const char *)block + 345, PREFIX), n = strnlen((const char *)block, NAME);
  // GNU's own format has other things in the prefix's place.
  bool has_prefix = prefix > 0 && memcmp(block + 257, "ustar", 6) == 0;
  size_t at = 0;
  if (has_prefix) {
    memcpy(entry->name, block + 345, prefix);
    entry->name[prefix] = '/';
    at = prefix + 1;
  }
  memcpy(entry->name + at, block, n);
  entry->name[at + n] = 0;
}

static bool begin_entry(struct tar_parser *parser, const struct tar_sink *sink, void *context,
                        uint64_t size, uint8_t type) {
  struct tar_entry *entry = &parser->entry;
  const uint8_t *block = parser->block;
  uint64_t mode, uid, gid, mtime;
  if (!get_number(block + 100, 8, &mode) || !get_number(block + 108, 8, &uid) ||
      !get_number(block + 116, 8, &gid) || !get_number(block + 136, 12, &mtime) ||
      uid >= UINT32_MAX || gid >= UINT32_MAX)
    return fail(parser, "a header of the tar has a number that is none");
  if (!parser->has_name) header_name(entry, block);
  if (!parser->has_link) {
    memcpy(entry->link, block + 157, NAME);
    entry->link[NAME] = 0;
  }
  if (!parser->has_size) entry->size = size;
  if (!parser->has_mtime) entry->mtime = (int64_t)mtime;
  forget_records(parser);
  entry->type = type == 0 ? TAR_FILE : (char)type;
  entry->mode = (uint32_t)(mode & 07777);
  entry->uid = (uint32_t)uid;
  entry->gid = (uint32_t)gid;
  if (entry->type != TAR_FILE && entry->type != TAR_SYMLINK && entry->type != TAR_FOLDER)
    return fail(parser, "the tar has something else than files, folders and symlinks");
  if (!tar_clean_name(entry->name))
    return fail(parser, "a name in the tar is absolute or leads out of the folder");
  if (entry->type == TAR_SYMLINK && entry->link[0] == 0)
    return fail(parser, "a symlink in the tar leads nowhere");
  if (entry->type != TAR_FILE && entry->size > 0)
    return fail(parser, "a folder or symlink in the tar has content");
  if (!sink->entry(context, entry)) return false;
  parser->left = entry->size;
  parser->padding = tar_padding(entry->size);
  parser->state = entry->type == TAR_FILE ? TAR_DATA : TAR_HEADER;
  return true;
}

static bool take_header(struct tar_parser *parser, const struct tar_sink *sink, void *context) {
  static const uint8_t zeros[TAR_BLOCK];
  const uint8_t *block = parser->block;
  uint64_t size;
  if (memcmp(block, zeros, TAR_BLOCK) == 0) {
    parser->state = TAR_OVER;
    return true;
  }
  if (memcmp(block + 257, "ustar", 5) != 0 || !checks_out(block) ||
      !get_number(block + 124, 12, &size))
    return fail(parser, "this is no tar, or it is damaged");
  uint8_t type = block[156];
  if (type != 'x' && type != 'g') return begin_entry(parser, sink, context, size, type);
  if (size > TAR_RECORDS_MAX) return fail(parser, "the tar has more pax records than we take");
  parser->global = type == 'g';
  parser->records_size = 0;
  parser->left = size;
  parser->padding = tar_padding(size);
  parser->state = TAR_RECORDS;
  return true;
}

// Of the bytes at hand, those that belong to what is going on.
static size_t up_to(uint64_t wanted, size_t size) { return wanted < size ? (size_t)wanted : size; }

static bool end_records(struct tar_parser *parser) {
  parser->state = TAR_SKIP;
  // What holds for all entries is nothing that we would need.
  if (parser->global) return true;
  parser->announced = true;
  if (take_records(parser)) return true;
  return fail(parser, "the tar has a pax record that is none");
}

bool tar_parse(struct tar_parser *parser, const struct tar_sink *sink, void *context,
               const uint8_t *data, size_t size) {
  parser->problem = NULL;
  // A file of no bytes ends without any.
  while (size > 0 || (parser->left == 0 && (parser->state == TAR_DATA || parser->state == TAR_RECORDS))) {
    size_t n;
    switch (parser->state) {
      case TAR_HEADER:
        n = up_to(TAR_BLOCK - parser->block_size, size);
        memcpy(parser->block + parser->block_size, data, n);
        parser->block_size += n;
        if (parser->block_size == TAR_BLOCK) {
          parser->block_size = 0;
          if (!take_header(parser, sink, context)) return false;
        }
        break;
      case TAR_RECORDS:
        n = up_to(parser->left, size);
        memcpy(parser->records + parser->records_size, data, n);
        parser->records_size += n;
        parser->left -= n;
        if (parser->left == 0 && !end_records(parser)) return false;
        break;
      case TAR_DATA:
        n = up_to(parser->left, size);
        if (n > 0 && !sink->data(context, data, n)) return false;
        parser->left -= n;
        if (parser->left == 0) {
          parser->state = TAR_SKIP;
          if (!sink->done(context)) return false;
        }
        break;
      case TAR_SKIP:
        n = up_to(parser->padding, size);
        parser->padding -= n;
        if (parser->padding == 0) parser->state = TAR_HEADER;
        break;
      case TAR_OVER:
        return true; // what follows the end of a tar is filling
      default: return false;
    }
    data += n;
    size -= n;
  }
  return true;
}
