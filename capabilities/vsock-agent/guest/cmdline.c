#include "cmdline.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

enum { CMDLINE_MAX = 65536 };

static void take(const char *word, const char *key, char *out, size_t size) {
  size_t n = strlen(key);
  if (strncmp(word, key, n) == 0) snprintf(out, size, "%s", word + n);
}

void parse_boot_options(struct boot_options *options, char *line) {
  memset(options, 0, sizeof *options);
  snprintf(options->init, sizeof options->init, "lean");
  char *rest = NULL;
  for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
    take(word, "banger.root=", options->root, sizeof options->root);
    take(word, "banger.work=", options->work, sizeof options->work);
    take(word, "banger.init=", options->init, sizeof options->init);
  }
}

void read_boot_options(struct boot_options *options) {
  char none[] = "";
  char *line = read_file_at(AT_FDCWD, "/proc/cmdline", CMDLINE_MAX, NULL);
  parse_boot_options(options, line ? line : none);
  free(line);
}
