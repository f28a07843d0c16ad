// One byte stream to the host: frames in, frames out, both bounded.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum link_state {
  LINK_UP,
  LINK_DOWN, // a virtio-serial port without a client: it may come back
  LINK_OVER, // a socket's end, or a port that was unplugged
};

enum {
  FRAME_ROOM = ENCODED_MAX + 1,
  TX_FRAMES = 6,
  ANSWER_ROOM = 2, // frames; the most that one frame from the host is answered with
};

struct link {
  int fd;
  int edges; // an epoll descriptor: readable when the stream's state has changed
  bool serial;
  bool readable, writable;
  enum link_state state;
  int64_t down_at; // ms since boot: there seems to be no client; DOWN from then on. -1: there is one
  uint8_t in[16384]; // read, not yet looked at
  size_t in_at, in_end;
  uint8_t rx[ENCODED_MAX]; // the frame being gathered
  size_t rx_size;
  bool rx_overflow;
  uint8_t tx[TX_FRAMES * FRAME_ROOM];
  size_t tx_start, tx_end;
};

struct frame {
  const uint8_t *id, *body;
  uint8_t type;
  size_t size;
};

bool link_init(struct link *link, int fd, bool serial);
void link_changed(struct link *link); // call when `edges` is readable

// The next frame, if one has arrived; it is valid until the next call. May change `state`.
bool link_next(struct link *link, struct frame *frame);

// Looks whether the client stays away. The time (ms) of the next look, or -1.
int64_t link_deadline(struct link *link);

// Room for `n` frames of the largest size.
bool link_room(const struct link *link, size_t n);
void link_cut(struct link *link); // ends half a frame that somebody else has left on the stream
void link_send(struct link *link, const uint8_t *id, uint8_t type, const void *body, size_t size);
bool link_flush(struct link *link); // true: some of it went
bool link_flushed(const struct link *link);
