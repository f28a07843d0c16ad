// The body of an OPEN: what is taken stays inside of it.
#include "fields.h"

#include <string.h>

#include "check.h"

static bool inside(const struct request *request, const char *text) {
  return text == NULL || (text >= request->text && text + strlen(text) < request->text + BODY_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // As in the agent: the request before is still there.
  static struct request request;
  // Of exactly its size, for ASan.
  uint8_t *body = malloc(size > 0 ? size : 1);
  CHECK(body);
  if (size > 0) memcpy(body, data, size);
  const char *problem = NULL;
  if (parse_request(&request, body, size, &problem)) {
    CHECK(request.arg_count <= FIELDS_MAX && request.args[request.arg_count] == NULL);
    CHECK(request.env_count <= FIELDS_MAX && request.env[request.env_count] == NULL);
    for (size_t i = 0; i < request.arg_count; i++) CHECK(inside(&request, request.args[i]));
    for (size_t i = 0; i < request.env_count; i++)
      CHECK(inside(&request, request.env[i]) && strchr(request.env[i], '=') > request.env[i]);
    CHECK(inside(&request, request.method) && inside(&request, request.cwd) &&
          inside(&request, request.path));
    CHECK(request.mode <= 07777);
  } else {
    CHECK(problem != NULL && strlen(problem) < ERROR_MAX);
  }
  free(body);
  return 0;
}
