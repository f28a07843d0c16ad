// The body of OPEN: a method, then key=value fields, each ended by NUL.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "identify.h"
#include "wire.h"

// Every field takes at least two bytes of the body.
enum { FIELDS_MAX = BODY_MAX / 2 };

struct request {
  char text[BODY_MAX + 1];
  const char *method;
  char *args[FIELDS_MAX + 1], *env[FIELDS_MAX + 1]; // NULL-terminated
  size_t arg_count, env_count;
  const char *cwd, *path, *name, *user;
  bool pty, no_stdin, has_uid, has_gid;
  uint16_t rows, cols;
  mode_t mode;
  uid_t uid;
  gid_t gid;
  struct identity identity;
};

// False with `problem` set to what is wrong, for an ERROR.
bool parse_request(struct request *request, const uint8_t *body, size_t size, const char **problem);
