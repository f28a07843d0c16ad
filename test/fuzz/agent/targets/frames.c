// Frames cut from a stream: each is one, and after any junk a zero byte begins anew.
#include <string.h>

#include "check.h"
#include "cobs.h"
#include "link.h"

static size_t cut(struct link *link, const uint8_t *data, size_t size, struct frame *last) {
  size_t frames = 0;
  struct frame frame;
  while (size > 0) {
    link->in_at = 0;
    link->in_end = size < sizeof link->in ? size : sizeof link->in;
    memcpy(link->in, data, link->in_end);
    data += link->in_end;
    size -= link->in_end;
    while (link_next(link, &frame)) {
      CHECK(frame.size <= BODY_MAX && frame.body == frame.id + HEADER_SIZE);
      // Each byte of it is ours to read.
      uint8_t sum = frame.type;
      for (size_t i = 0; i < frame.size; i++) sum |= frame.body[i];
      CHECK(sum >= frame.type);
      frames++;
      *last = frame;
    }
  }
  return frames;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint8_t id[ID_SIZE] = "12345678";
  struct link *link = calloc(1, sizeof *link);
  CHECK(link);
  link->fd = -1;
  link->down_at = -1; // `readable` is false: nothing but what is put into `in`
  struct frame last = {0};
  size_t frames = cut(link, data, size, &last);
  CHECK(frames <= size);

  // As a host begins anew: a zero, then a frame with what this input is.
  size_t body = size < BODY_MAX ? size : BODY_MAX, payload_size = HEADER_SIZE + body;
  uint8_t *payload = malloc(payload_size), *wire = malloc(2 + ENCODED_MAX);
  CHECK(payload && wire);
  memcpy(payload, id, ID_SIZE);
  payload[ID_SIZE] = FRAME_STDIN;
  if (body > 0) memcpy(payload + HEADER_SIZE, data, body);
  wire[0] = 0;
  size_t end = 1 + cobs_encode(payload, payload_size, wire + 1);
  wire[end++] = 0;
  CHECK(cut(link, wire, end, &last) >= 1);
  CHECK(memcmp(last.id, id, ID_SIZE) == 0 && last.type == FRAME_STDIN && last.size == body &&
        (body == 0 || memcmp(last.body, data, body) == 0));
  free(wire);
  free(payload);
  free(link);
  return 0;
}
