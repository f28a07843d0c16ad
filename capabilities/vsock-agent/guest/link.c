#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "cobs.h"

// The kernel reads a port's data at once, but hears of its client by a work queue: a client that has just
// come, and written, may for a moment look gone. So what it asked, and its answer, are kept that long.
enum { GONE_MS = 2000 };

// A virtio-serial port without a host client is POLLIN | POLLHUP for ever, so waiting by level would
// spin. An edge-triggered epoll wakes only when the driver wakes its wait queue: data, a freed
// output buffer, a client that came or went.
bool link_init(struct link *link, int fd, bool serial) {
  memset(link, 0, sizeof *link);
  link->fd = fd;
  link->serial = serial;
  link->readable = link->writable = true;
  link->down_at = -1;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return false;
  link->edges = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
  return link->edges >= 0 && epoll_ctl(link->edges, EPOLL_CTL_ADD, fd, &event) == 0;
}

void link_changed(struct link *link) {
  struct epoll_event event;
  if (epoll_wait(link->edges, &event, 1, 0) <= 0) return;
  link->readable = link->writable = true;
}

static void lost(struct link *link, enum link_state state) {
  link->state = state;
  link->down_at = -1;
  link->rx_size = 0;
  link->rx_overflow = false;
  link->tx_start = link->tx_end = 0;
}

static bool fill(struct link *link) {
  if (!link->readable || link->state == LINK_OVER) return false;
  ssize_t n = read(link->fd, link->in, sizeof link->in);
  if (n > 0) {
    link->state = LINK_UP;
    link->down_at = -1;
    link->in_at = 0;
    link->in_end = (size_t)n;
    return true;
  }
  if (n < 0 && errno == EINTR) return false;
  link->readable = false;
  if (n < 0 && errno == EAGAIN) {
    link->state = LINK_UP;
    link->down_at = -1;
    return false;
  }
  if (n != 0 || !link->serial) lost(link, LINK_OVER);
  else if (link->state == LINK_UP && link->down_at < 0) link->down_at = now_ms() + GONE_MS;
  return false;
}

int64_t link_deadline(struct link *link) {
  if (link->down_at >= 0 && link->down_at <= now_ms()) lost(link, LINK_DOWN);
  return link->down_at;
}

// True with a whole frame in rx. What is malformed or too long is dropped, up to the next zero.
static bool take_byte(struct link *link, uint8_t byte, struct frame *frame) {
  if (byte != 0) {
    if (link->rx_size < sizeof link->rx) link->rx[link->rx_size++] = byte;
    else link->rx_overflow = true;
    return false;
  }
  ssize_t size = link->rx_overflow ? -1 : cobs_decode(link->rx, link->rx_size);
  link->rx_size = 0;
  link->rx_overflow = false;
  if (size < HEADER_SIZE || size > PAYLOAD_MAX) return false;
  *frame = (struct frame){
      .id = link->rx,
      .type = link->rx[ID_SIZE],
      .body = link->rx + HEADER_SIZE,
      .size = (size_t)size - HEADER_SIZE,
  };
  return true;
}

bool link_next(struct link *link, struct frame *frame) {
  for (;;) {
    while (link->in_at < link->in_end)
      if (take_byte(link, link->in[link->in_at++], frame)) return true;
    if (!fill(link)) return false;
  }
}

bool link_room(const struct link *link, size_t n) {
  return sizeof link->tx - (link->tx_end - link->tx_start) >= n * FRAME_ROOM;
}

// The caller has asked for room. Without a client there is nobody to send to.
void link_send(struct link *link, const uint8_t *id, uint8_t type, const void *body, size_t size) {
  static uint8_t payload[PAYLOAD_MAX];
  if (link->state != LINK_UP || size > BODY_MAX || !link_room(link, 1)) return;
  if (sizeof link->tx - link->tx_end < FRAME_ROOM) {
    memmove(link->tx, link->tx + link->tx_start, link->tx_end - link->tx_start);
    link->tx_end -= link->tx_start;
    link->tx_start = 0;
  }
  memcpy(payload, id, ID_SIZE);
  payload[ID_SIZE] = type;
  if (size > 0) memcpy(payload + HEADER_SIZE, body, size);
  link->tx_end += cobs_encode(payload, HEADER_SIZE + size, link->tx + link->tx_end);
  link->tx[link->tx_end++] = 0;
}

void link_cut(struct link *link) {
  if (link->tx_end < sizeof link->tx) link->tx[link->tx_end++] = 0;
}

bool link_flush(struct link *link) {
  bool moved = false;
  while (link->writable && link->tx_start < link->tx_end) {
    ssize_t n = write(link->fd, link->tx + link->tx_start, link->tx_end - link->tx_start);
    if (n > 0) {
      link->tx_start += (size_t)n;
      moved = true;
    } else if (errno == EAGAIN) {
      link->writable = false;
    } else if (errno != EINTR) {
      lost(link, LINK_OVER);
    }
  }
  if (link->tx_start == link->tx_end) link->tx_start = link->tx_end = 0;
  return moved;
}

bool link_flushed(const struct link *link) { return link->tx_start == link->tx_end; }
