#include "fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool number(const char *text, int base, unsigned long max, unsigned long *value) {
  if (*text < '0' || *text > '9') return false;
  char *end;
  errno = 0;
  *value = strtoul(text, &end, base);
  return errno == 0 && *end == 0 && *value <= max;
}

static bool window_size(struct request *request, char *value) {
  char *x = strchr(value, 'x');
  unsigned long rows, cols;
  if (!x) return false;
  *x = 0;
  if (!number(value, 10, UINT16_MAX, &rows) || !number(x + 1, 10, UINT16_MAX, &cols)) return false;
  request->pty = true;
  request->rows = (uint16_t)rows;
  request->cols = (uint16_t)cols;
  return true;
}

static bool take(struct request *request, const char *key, char *value) {
  unsigned long n;
  if (strcmp(key, "arg") == 0) {
    request->args[request->arg_count++] = value;
  } else if (strcmp(key, "env") == 0) {
    if (value[0] == '=' || !strchr(value, '=')) return false;
    request->env[request->env_count++] = value;
  } else if (strcmp(key, "cwd") == 0) {
    request->cwd = value;
  } else if (strcmp(key, "user") == 0) {
    request->user = value;
  } else if (strcmp(key, "path") == 0) {
    request->path = value;
  } else if (strcmp(key, "name") == 0) {
    request->name = value;
  } else if (strcmp(key, "pty") == 0) {
    return window_size(request, value);
  } else if (strcmp(key, "stdin") == 0) {
    request->no_stdin = true;
    return strcmp(value, "none") == 0;
  } else if (strcmp(key, "mode") == 0) {
    if (!number(value, 8, 07777, &n)) return false;
    request->mode = (mode_t)n;
  } else if (strcmp(key, "uid") == 0) {
    if (!number(value, 10, UINT32_MAX - 1, &n)) return false;
    request->uid = (uid_t)n;
    request->has_uid = true;
  } else if (strcmp(key, "gid") == 0) {
    if (!number(value, 10, UINT32_MAX - 1, &n)) return false;
    request->gid = (gid_t)n;
    request->has_gid = true;
  } else {
    return identity_field(&request->identity, key, value);
  }
  return true;
}

bool parse_request(struct request *request, const uint8_t *body, size_t size,
                   const char **problem) {
  *problem = "the OPEN frame's fields are not ended by NUL";
  if (size == 0 || size > BODY_MAX || body[size - 1] != 0) return false;
  request->arg_count = request->env_count = 0;
  request->method = request->cwd = request->path = request->name = request->user = NULL;
  request->pty = request->no_stdin = request->has_uid = request->has_gid = false;
  request->mode = 0644;
  identity_init(&request->identity);
  memcpy(request->text, body, size);
  request->method = request->text;
  *problem = "the OPEN frame has an unknown or malformed field";
  size_t at = strlen(request->text) + 1;
  while (at < size) {
    char *field = request->text + at;
    at += strlen(field) + 1;
    char *equals = strchr(field, '=');
    if (!equals) return false;
    *equals = 0;
    if (!take(request, field, equals + 1)) return false;
  }
  request->args[request->arg_count] = request->env[request->env_count] = NULL;
  return true;
}
