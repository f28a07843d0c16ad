// A whole stream: serve() with a host and commands that do what the input says. The bytes of the host, junk
// among them, meet output, input, ends of commands and time in any order. serve() must come to its end whatever
// happens, answer by the protocol, and leave nothing open.
//
// The input: a byte for the kind of stream, then steps of one byte each with what belongs to it (below). Time
// is the target's own, and moves when there is nothing else to do.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "clock.h"
#include "commands.h"
#include "fields.h"
#include "host.h"
#include "link.h"
#include "serve.h"

enum step {
  STEP_BYTES, // length (1), bytes as they are
  STEP_FRAME, // session (1), type (1), length (1), body
  STEP_FILL,  // session (1), type (1), size (1): a frame of one letter; from 0xf0 the largest, else small
  STEP_OUT,   // descriptor (1), length / 256 (1)
  STEP_IN,    // length / 256 (1)
  STEP_SHUT,  // descriptor (1)
  STEP_END,   // status (1)
  STEP_DRAIN, // the host reads all that is there
  STEP_TIME,  // ms / 16 (1)
  STEPS,
};

// As many as a host of the input's may open; more of them would only meet more seldom.
enum { SESSIONS = 4 };

struct host {
  const uint8_t *data;
  size_t size;
  int fd;
  bool serial, leaving, left;
  int64_t now;
  bool junk; // bytes as they are: they may open sessions that we don't know of
  int open[256]; // sessions that may still have an end, by the first byte of their id
  struct unwire in;
};

static struct host host;

int64_t now_ms(void) { return host.now; }

int poll_again(int64_t deadline) {
  host.now++;
  return host.now < deadline;
}

// Methods that world/ has cut off from this machine. Another one is unknown here: it may change files, or disks.
static const char *const harmless[] = {"exec", "put", "get", "healthz", "shutdown"};

bool __real_parse_request(struct request *request, const uint8_t *body, size_t size,
                          const char **problem);
bool __wrap_parse_request(struct request *request, const uint8_t *body, size_t size,
                          const char **problem);

// The linker puts it in the place of fields.h's.
bool __wrap_parse_request(struct request *request, const uint8_t *body, size_t size,
                          const char **problem) {
  if (!__real_parse_request(request, body, size, problem)) return false;
  for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
    if (strcmp(request->method, harmless[i]) == 0) return true;
  request->method = "";
  return true;
}

static uint8_t next(void) {
  if (host.size == 0) return 0;
  host.size--;
  return *host.data++;
}

static size_t take(const uint8_t **data, size_t size) {
  if (size > host.size) size = host.size;
  *data = host.data;
  host.data += size;
  host.size -= size;
  return size;
}

// What does not fit is a host that gives up in the middle of a frame.
static void send_bytes(const void *data, size_t size) {
  if (send(host.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    CHECK(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
}

static void send_frame(uint8_t session, uint8_t type, const void *body, size_t size) {
  static uint8_t wire[ENCODED_MAX + 1];
  const uint8_t id[ID_SIZE] = {session};
  if (type == FRAME_OPEN) host.open[session]++;
  send_bytes(wire, wire_frame(id, type, body, size, wire));
}

static bool ends(uint8_t type) {
  return type == FRAME_EXIT || type == FRAME_ERROR || type == FRAME_REPLY;
}

// PROTOCOL.md, as the host would like to rely on it.
static void look_at(const uint8_t *payload, size_t size) {
  static const uint8_t zeros[ID_SIZE];
  CHECK(size >= HEADER_SIZE && size <= PAYLOAD_MAX);
  uint8_t session = payload[0], type = payload[ID_SIZE];
  size_t body = size - HEADER_SIZE;
  CHECK(type >= FRAME_STDOUT && type <= FRAME_RESTARTED);
  if (type == FRAME_EXIT) CHECK(body == 2);
  if (type == FRAME_ACK || type == FRAME_OPENED) CHECK(body == 4);
  if (type == FRAME_CLOSED || type == FRAME_RESTARTED) CHECK(body == 0);
  if (type == FRAME_ERROR) CHECK(body <= ERROR_MAX);
  if (type == FRAME_RESTARTED) CHECK(memcmp(payload, zeros, ID_SIZE) == 0);
  // A CLOSE is answered whatever it closes; all else belongs to a session that was opened and has not ended.
  else if (type != FRAME_CLOSED && !host.junk) CHECK(host.open[session] > 0);
  if (ends(type)) host.open[session]--;
}

static void drain(void) {
  static uint8_t data[65536];
  ssize_t n;
  while ((n = recv(host.fd, data, sizeof data, MSG_DONTWAIT)) > 0)
    unwire(&host.in, data, (size_t)n, look_at);
}

static void step(void) {
  const uint8_t *data;
  static uint8_t fill[BODY_MAX];
  enum step kind = next() % STEPS;
  switch (kind) {
    case STEP_BYTES: {
      size_t n = take(&data, next());
      host.junk = true;
      if (n > 0) send_bytes(data, n);
      break;
    }
    case STEP_FRAME: {
      uint8_t session = next() % SESSIONS, type = next();
      size_t n = take(&data, next());
      send_frame(session, type, data, n);
      break;
    }
    case STEP_FILL: {
      uint8_t session = next() % SESSIONS, type = next();
      size_t n = next();
      memset(fill, 'x', sizeof fill);
      send_frame(session, type, fill, n < 0xf0 ? n : sizeof fill);
      break;
    }
    case STEP_OUT: {
      int fd = 1 + next() % 2;
      command_write(fd, 'o', (size_t)next() * 256);
      break;
    }
    case STEP_IN: command_read((size_t)next() * 256); break;
    case STEP_SHUT: command_close(next() % 3); break;
    case STEP_END: command_end(next() << 8); break;
    case STEP_DRAIN: drain(); break;
    case STEP_TIME: host.now += (int64_t)next() * 16; break;
    case STEPS: break;
  }
}

// The last one out: a port that is unplugged, which a socket shows as a reset where something is unread.
static void leave(void) {
  static const uint8_t zero[1];
  if (host.serial && !host.leaving) {
    drain();
    send_bytes(zero, 1);
    send_frame(0, FRAME_CLOSE, NULL, 0);
    // Answered at once, where that of what runs waits for its end: no step has this session.
    send_frame(SESSIONS, FRAME_CLOSE, NULL, 0);
    host.leaving = true;
    return;
  }
  CHECK(close(host.fd) == 0);
  host.left = true;
}

// The agent waits: so it is somebody else's turn. The real one looks only at what is there already.
int poll(struct pollfd *fds, nfds_t count, int timeout) {
  struct timespec none = {0};
  int ready;
  // libFuzzer's own alarm.
  while ((ready = (int)syscall(SYS_ppoll, fds, count, &none, NULL, 0)) < 0) CHECK(errno == EINTR);
  if (ready > 0) return ready;
  if (host.size > 0) step();
  else if (timeout > 0) host.now += timeout;
  else if (!host.left) leave();
  else CHECK(commands_end_one()); // else it waits for ever
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int pair[2];
  if (size == 0) return 0;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  memset(&host, 0, sizeof host);
  host.data = data;
  host.size = size;
  host.fd = pair[1];
  host.now = 1;
  const uint8_t kind = next();
  host.serial = kind & 1;
  commands_init();
  int code = serve(pair[0], host.serial ? STREAM_SERIAL : STREAM_SOCKET, kind & 2, true);
  CHECK(code == (host.serial ? 1 : 0));
  if (!host.left) close(host.fd);
  CHECK(close(pair[0]) == 0);
  commands_dispose();
  // The lowest free descriptor is the one that it was before: the agent left none open.
  int lowest = dup(0);
  CHECK(lowest == pair[0] && close(lowest) == 0);
  return 0;
}
