#include "tar-format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Offsets and lengths in a ustar header.
enum { NAME = 100, MODE_AT = 100, UID_AT = 108, GID_AT = 116, SIZE_AT = 124, MTIME_AT = 136 };
enum { SUM_AT = 148, TYPE_AT = 156, LINK_AT = 157, MAGIC_AT = 257 };

size_t tar_padding(uint64_t size) { return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK; }

bool tar_clean_name(char *name) {
  if (name[0] == '/') return false;
  char *out = name;
  for (const char *at = name; *at;) {
    size_t n = strcspn(at, "/");
    if (n == 2 && at[0] == '.' && at[1] == '.') return false;
    if (n > 0 && !(n == 1 && at[0] == '.')) {
      if (out != name) *out++ = '/';
      memmove(out, at, n);
      out += n;
    }
    at += n + (at[n] == '/');
  }
  *out = 0;
  return true;
}

// RFC 3629: no overlong forms, no surrogates, nothing over U+10FFFF.
static bool is_utf8(const char *text) {
  for (const uint8_t *at = (const uint8_t *)text; *at;) {
    uint8_t lead = *at++;
    if (lead < 0x80) continue;
    int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0xc2 || lead > 0xf4) return false;
    for (; more > 0; more--, low = 0x80, high = 0xbf) {
      if (*at < low || *at > high) return false;
      at++;
    }
  }
  return true;
}

static bool is_ascii(const char *text) {
  for (; *text; text++)
    if ((uint8_t)*text >= 0x80) return false;
  return true;
}

struct records {
  uint8_t *at;
  size_t size;
};

// `length key=value\n`, where the length counts its own digits.
static void add_record(struct records *records, const char *key, const char *value, size_t size) {
  size_t rest = strlen(key) + size + 3, digits = 1;
  for (size_t reach = 10; rest + digits >= reach; reach *= 10) digits++;
  uint8_t *out = records->at + records->size;
  int head = sprintf((char *)out, "%zu %s=", rest + digits, key);
  memcpy(out + head, value, size);
  out[rest + digits - 1] = '\n';
  records->size += rest + digits;
}

static void add_text(struct records *records, const char *key, const char *raw_key,
                     const char *text) {
  static const char hex[] = "0123456789abcdef";
  char value[2 * TAR_NAME_MAX];
  size_t size = strlen(text);
  if (size <= NAME && is_ascii(text)) return;
  if (is_utf8(text)) return add_record(records, key, text, size);
  for (size_t i = 0; i < size; i++) {
    value[2 * i] = hex[(uint8_t)text[i] >> 4];
    value[2 * i + 1] = hex[text[i] & 15];
  }
  add_record(records, raw_key, value, 2 * size);
}

static void put_octal(uint8_t *out, size_t digits, uint64_t value) {
  for (size_t i = digits; i > 0; i--, value >>= 3) out[i - 1] = (uint8_t)('0' + (value & 7));
}

// Octal where it fits, else base 256 with the first bit set.
static void put_number(uint8_t *out, size_t size, uint64_t value) {
  if (value >> (3 * (size - 1)) == 0) return put_octal(out, size - 1, value);
  for (size_t i = size; i > 0; i--, value >>= 8) out[i - 1] = (uint8_t)value;
  out[0] |= 0x80;
}

static void put_header(uint8_t *out, const struct tar_entry *entry, char type, uint64_t size) {
  memset(out, 0, TAR_BLOCK);
  memcpy(out, entry->name, strnlen(entry->name, NAME));
  if (!entry->name[0]) out[0] = '.';
  put_octal(out + MODE_AT, 7, entry->mode & 07777);
  put_number(out + UID_AT, 8, entry->uid);
  put_number(out + GID_AT, 8, entry->gid);
  put_number(out + SIZE_AT, 12, size);
  put_number(out + MTIME_AT, 12, entry->mtime < 0 ? 0 : (uint64_t)entry->mtime);
  out[TYPE_AT] = (uint8_t)type;
  memcpy(out + LINK_AT, entry->link, strnlen(entry->link, NAME));
  memcpy(out + MAGIC_AT, "ustar\00000", 8);
  unsigned sum = 8 * ' ';
  for (size_t i = 0; i < TAR_BLOCK; i++) sum += out[i];
  put_octal(out + SUM_AT, 6, sum);
  out[SUM_AT + 7] = ' ';
}

size_t tar_write_header(uint8_t *out, const struct tar_entry *entry, const uint64_t *total) {
  struct records records = {.at = out + TAR_BLOCK};
  add_text(&records, "path", TAR_RAW_NAME, entry->name);
  add_text(&records, "linkpath", TAR_RAW_LINK, entry->link);
  if (total) {
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)*total);
    add_record(&records, TAR_TOTAL, text, (size_t)n);
  }
  size_t used = 0;
  if (records.size > 0) {
    put_header(out, entry, 'x', records.size);
    size_t padding = tar_padding(records.size);
    memset(records.at + records.size, 0, padding);
    used = TAR_BLOCK + records.size + padding;
  }
  put_header(out + used, entry, entry->type, entry->type == TAR_FILE ? entry->size : 0);
  return used + TAR_BLOCK;
}
