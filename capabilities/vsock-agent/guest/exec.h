// Starting a command in the guest.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"

struct command {
  char **argv; // NULL-terminated
  char **env;  // NULL-terminated K=V, over the defaults
  const char *cwd;
  const struct account *account; // NULL: root
  bool pty, no_stdin;
  uint16_t rows, cols;
};

enum start_stage { START_OK, START_PREPARE, START_CWD, START_EXEC };

struct started {
  enum start_stage failed; // and `error` is its errno
  int error;
  pid_t pid; // leads its own session and process group
  int in, out, err; // non-blocking; -1 where there is none. With a PTY, `in` and `out` are its master
};

void start_command(const struct command *command, struct started *started);

// For a child between fork and exec: default dispositions, empty mask, umask 022.
void reset_signals(void);
