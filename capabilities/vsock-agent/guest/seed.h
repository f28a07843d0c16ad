// What the host wants to be true of this guest: /seed in the initrd.
#pragma once
#include <stdbool.h>

struct seed {
  char hostname[65], address[32], gateway[32];
  char dns[512]; // resolv.conf's lines
};

// `dir` is the open /seed folder.
void seed_read(struct seed *seed, int dir);

// After the switch to the guest's root, so that an image's symlinks stay inside it.
void seed_apply(const struct seed *seed, int dir);
