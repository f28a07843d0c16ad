#include "session-tar.h"

#include <stdlib.h>
#include <string.h>

// Of a walk that sends nothing, so that a CLOSE is not waited for.
enum { STEPS_MAX = 512 };

const char *open_tar(struct session *session, const struct request *request) {
  session->tar = malloc(sizeof *session->tar);
  if (!session->tar) return "out of memory";
  session->kind = SESSION_TAR;
  return tar_out_open(session->tar, request->path) ? NULL : session->tar->problem;
}

const char *open_untar(struct session *session, const struct request *request) {
  session->untar = malloc(sizeof *session->untar);
  if (!session->untar) return "out of memory";
  session->kind = SESSION_UNTAR;
  return untar_open(session->untar, request) ? NULL : session->untar->problem;
}

void free_tar(struct session *session) {
  if (session->tar) tar_out_close(session->tar);
  if (session->untar) untar_close(session->untar);
  free(session->tar);
  free(session->untar);
  session->tar = NULL;
  session->untar = NULL;
}

enum tar_out_result send_tar(struct link *link, struct session *session) {
  static uint8_t data[BODY_MAX];
  _Static_assert((int)TAR_HEADERS_MAX <= (int)BODY_MAX, "an entry's headers fit into a frame");
  struct tar_out *out = session->tar;
  size_t used = 0;
  enum tar_out_result result = TAR_OUT_MORE;
  for (int steps = 0; steps < STEPS_MAX && result == TAR_OUT_MORE; steps++) {
    size_t size;
    if (sizeof data - used < TAR_HEADERS_MAX) break;
    result = tar_out_step(out, data + used, sizeof data - used, &size);
    used += size;
    if (out->note[0]) break;
  }
  if (used > 0) link_send(link, session->id, FRAME_STDOUT, data, used);
  if (out->note[0]) link_send(link, session->id, FRAME_STDERR, out->note, strlen(out->note));
  out->note[0] = 0;
  return result;
}
