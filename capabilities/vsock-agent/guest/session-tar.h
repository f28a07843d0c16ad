// What a session does for `tar` and `untar`.
#pragma once
#include "session.h"

// Each begins a session of its kind. Why it could not, or NULL.
const char *open_tar(struct session *session, const struct request *request);
const char *open_untar(struct session *session, const struct request *request);
void free_tar(struct session *session);

// Fills a frame and sends it. Needs room for two.
enum tar_out_result send_tar(struct link *link, struct session *session);
