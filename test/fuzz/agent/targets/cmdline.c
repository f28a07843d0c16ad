// The kernel's command line.
#include "cmdline.h"

#include <string.h>

#include "check.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *line = text_of(data, size);
  struct boot_options options;
  memset(&options, 0xff, sizeof options);
  parse_boot_options(&options, line);
  CHECK(memchr(options.root, 0, sizeof options.root));
  CHECK(memchr(options.work, 0, sizeof options.work));
  CHECK(memchr(options.init, 0, sizeof options.init));
  free(line);
  return 0;
}
