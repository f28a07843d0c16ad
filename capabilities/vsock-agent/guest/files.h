// put and get: one file each.
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fields.h"

struct upload {
  int fd;
  char path[PATH_MAX], temp[PATH_MAX];
  bool has_uid, has_gid;
  uid_t uid;
  gid_t gid;
  mode_t mode;
};

// Each sets errno on failure; the temporary file is gone then.
bool upload_open(struct upload *upload, const struct request *request);
bool upload_write(struct upload *upload, const uint8_t *data, size_t size);
bool upload_commit(struct upload *upload);
void upload_abort(struct upload *upload);

int download_open(const char *path);
