// What the host wants to be true of this guest: /seed in the initrd.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

struct seed {
  char hostname[65], address[32], gateway[32];
  char dns[512]; // resolv.conf's lines
};

// A line of the manifest: a file of /seed and where it goes.
struct seed_entry {
  bool append; // its lines, where they are absent; else the whole file
  mode_t mode;
  char name[32];
  const char *path; // in the line
};

// At most 64 of letters, digits, dots and hyphens.
bool is_host_name(const char *name);

// For the kernel, /etc/hostname and /etc/hosts. False with errno.
bool set_host_name(const char *name);

// `config` has a `key=value` a line, and is cut up. What is unknown or malformed is left out.
void seed_parse(struct seed *seed, char *config);
bool seed_parse_entry(struct seed_entry *entry, const char *line);

// `dir` is the open /seed folder.
void seed_read(struct seed *seed, int dir);

// After the switch to the guest's root, so that an image's symlinks stay inside it.
void seed_apply(const struct seed *seed, int dir);
