#pragma once

struct boot_options {
  char root[128], work[128], init[128];
};

// The banger.* words of a kernel's command line, which is cut up.
void parse_boot_options(struct boot_options *options, char *line);

// Those of /proc/cmdline.
void read_boot_options(struct boot_options *options);
