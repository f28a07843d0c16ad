// Texts of the image that the agent adds to, /etc/hosts and authorized_keys: two texts, cut by a zero.
#include "lines.h"

#include <string.h>

#include "check.h"
#include "hosts.h"
#include "text.h"

// As a whole line.
static bool has(const char *text, size_t size, const char *line, size_t n) {
  for (size_t at = 0; at + n <= size; at++)
    if ((at == 0 || text[at - 1] == '\n') && memcmp(text + at, line, n) == 0 &&
        (at + n == size || text[at + n] == '\n'))
      return true;
  return false;
}

static void hosts(const char *text) {
  size_t size = 0;
  char *out = hosts_with(text, "box", &size);
  CHECK(out && has(out, size, "127.0.1.1 box", 13));
  // It settles.
  CHECK(strlen(out) == size);
  size_t again_size = 0;
  char *again = hosts_with(out, "box", &again_size);
  CHECK(again && again_size == size && memcmp(out, again, size) == 0);
  free(again);
  free(out);
}

static void lines(const uint8_t *old, size_t old_size, const char *data) {
  char *copy = malloc(old_size + 1);
  CHECK(copy);
  if (old_size > 0) memcpy(copy, old, old_size);
  copy[old_size] = 0; // as read_file_at ends it
  size_t size = old_size;
  char *text = with_lines(copy, &size, data);
  CHECK(text && size >= old_size && (old_size == 0 || memcmp(text, old, old_size) == 0));
  // A zero byte in the file ends what is looked at: a line behind it is added once more.
  if (memchr(text, 0, size) == NULL)
    for (const char *line = data; *line;) {
      size_t n = strcspn(line, "\n");
      CHECK(n == 0 || has(text, size, line, n));
      line += n + (line[n] == '\n');
    }
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
  size_t first = cut ? (size_t)(cut - data) : size;
  char *text = text_of(data, first);
  char *rest = cut ? text_of(cut + 1, size - first - 1) : text_of(NULL, 0);
  hosts(text);
  lines(data, first, rest);
  // And a file with zeros in it.
  lines(data, size, text);
  free(rest);
  free(text);
  return 0;
}
