// A VMM without a guest, for the crash suite: QEMU's arguments, a real process that holds the tap, the disks
// and the sockets, QMP as far as the driver speaks it, and an agent that answers healthz and shutdown
// (capabilities/vsock-agent/PROTOCOL.md). It boots in a millisecond, so that hundreds of starts can be killed.
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cobs.h"
#include "wire.h"

enum { STREAMS_MAX = 64, BUFFER_SIZE = 65536 };

struct stream {
  int fd;
  bool listens, qmp;
  size_t filled;
  uint8_t buffer[BUFFER_SIZE];
};

static struct stream *streams[STREAMS_MAX];
static size_t stream_count;
static bool is_over;

static void fail(const char *what) {
  fprintf(stderr, "stub-vmm: %s: %s\n", what, strerror(errno));
  exit(1);
}

// The value of KEY= in a list of options, or NULL. Commas in values are written twice; ours have none.
static char *option(const char *list, const char *key) {
  size_t length = strlen(key);
  for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
    if (strncmp(at, key, length) == 0 && at[length] == '=')
      return strndup(at + length + 1, strcspn(at + length + 1, ","));
  return NULL;
}

static void add(int fd, bool listens, bool qmp) {
  if (stream_count == STREAMS_MAX) return (void)close(fd);
  struct stream *stream = calloc(1, sizeof *stream);
  if (!stream) fail("calloc");
  *stream = (struct stream){.fd = fd, .listens = listens, .qmp = qmp};
  streams[stream_count++] = stream;
}

static void listen_at(const char *path, bool qmp) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path || strlen(path) >= sizeof address.sun_path) fail("socket path");
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  unlink(path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 8) != 0)
    fail(path);
  add(fd, true, qmp);
}

static void open_tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) fail(name);
}

static void say(int fd, const char *text) {
  if (write(fd, text, strlen(text)) < 0 && errno != EPIPE) perror("stub-vmm: write");
}

static void end(const char *reason) {
  char event[128];
  snprintf(event, sizeof event,
           "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"%s\"}}\r\n", reason);
  for (size_t i = 0; i < stream_count; i++)
    if (streams[i]->qmp && !streams[i]->listens) say(streams[i]->fd, event);
  is_over = true;
}

static void qmp_line(int fd, const char *line) {
  char answer[64];
  const char *id = strstr(line, "\"id\":");
  const char *value = strstr(line, "\"query-status\"") ? "{\"status\":\"running\"}" : "{}";
  snprintf(answer, sizeof answer, "{\"return\":%s,\"id\":%d}\r\n", value, id ? atoi(id + 5) : 0);
  say(fd, answer);
  if (strstr(line, "\"quit\"")) end("host-qmp-quit");
}

static void agent_send(int fd, const uint8_t *id, uint8_t type, const char *body) {
  uint8_t payload[HEADER_SIZE + 256], encoded[sizeof payload + 4];
  size_t size = strlen(body);
  memcpy(payload, id, ID_SIZE);
  payload[ID_SIZE] = type;
  memcpy(payload + HEADER_SIZE, body, size);
  size_t n = cobs_encode(payload, HEADER_SIZE + size, encoded);
  encoded[n++] = 0;
  if (write(fd, encoded, n) < 0 && errno != EPIPE) perror("stub-vmm: write");
}

static void agent_frame(int fd, uint8_t *frame, size_t size) {
  ssize_t n = cobs_decode(frame, size);
  if (n < HEADER_SIZE) return;
  char *method = (char *)frame + HEADER_SIZE;
  size_t length = (size_t)n - HEADER_SIZE;
  if (frame[ID_SIZE] == FRAME_CLOSE) {
    agent_send(fd, frame, FRAME_CLOSED, "");
  } else if (frame[ID_SIZE] == FRAME_OPEN && length >= 7 && strcmp(method, "healthz") == 0) {
    agent_send(fd, frame, FRAME_REPLY,
               "{\"agent\":\"stub\",\"protocol\":1,\"hostname\":\"stub\",\"machineId\":\"\","
               "\"bootId\":\"stub\",\"uptimeMs\":1,\"init\":\"lean\"}");
  } else if (frame[ID_SIZE] == FRAME_OPEN && length >= 8 && strcmp(method, "shutdown") == 0) {
    agent_send(fd, frame, FRAME_REPLY, "{}");
    end("guest-reset");
  } else if (frame[ID_SIZE] == FRAME_OPEN) {
    agent_send(fd, frame, FRAME_ERROR, "there is no guest");
  }
}

// False where the client has gone.
static bool take(struct stream *stream) {
  ssize_t n = read(stream->fd, stream->buffer + stream->filled, BUFFER_SIZE - stream->filled);
  if (n <= 0) return false;
  stream->filled += (size_t)n;
  uint8_t limit = stream->qmp ? '\n' : 0, *start = stream->buffer, *stop;
  size_t left = stream->filled;
  while ((stop = memchr(start, limit, left))) {
    *stop = 0;
    if (stream->qmp) qmp_line(stream->fd, (char *)start);
    else agent_frame(stream->fd, start, (size_t)(stop - start));
    left -= (size_t)(stop - start) + 1;
    start = stop + 1;
  }
  memmove(stream->buffer, start, left);
  stream->filled = left;
  return left < BUFFER_SIZE;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (getenv("STUB_VMM_HANGS"))
    for (;;) pause();
  for (int i = 1; i + 1 < argc; i++) {
    const char *name = argv[i], *value = argv[i + 1];
    if (strcmp(name, "-drive") == 0) {
      char *file = option(value, "file");
      if (!file || open(file, O_RDWR | O_CLOEXEC) < 0) fail(file ? file : "a drive without file");
    } else if (strcmp(name, "-netdev") == 0) {
      open_tap(option(value, "ifname"));
    } else if (strcmp(name, "-chardev") == 0) {
      listen_at(option(value, "path"), false);
    } else if (strcmp(name, "-qmp") == 0) {
      listen_at(strndup(value + strlen("unix:"), strcspn(value + strlen("unix:"), ",")), true);
    } else if (strcmp(name, "-kernel") == 0 || strcmp(name, "-initrd") == 0) {
      if (access(value, R_OK) != 0) fail(value);
    }
  }
  while (!is_over) {
    struct pollfd polls[STREAMS_MAX];
    size_t count = stream_count;
    for (size_t i = 0; i < count; i++) polls[i] = (struct pollfd){streams[i]->fd, POLLIN, 0};
    if (poll(polls, count, -1) < 0) continue;
    for (size_t i = 0; i < count; i++) {
      struct stream *stream = streams[i];
      if (!polls[i].revents) continue;
      if (stream->listens) {
        int fd = accept4(stream->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        add(fd, false, stream->qmp);
        if (stream->qmp) say(fd, "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\r\n");
      } else if (!take(stream)) {
        close(stream->fd);
        stream->fd = -1; // poll(2) ignores it
      }
    }
    size_t kept = 0;
    for (size_t i = 0; i < stream_count; i++) {
      if (streams[i]->fd >= 0) streams[kept++] = streams[i];
      else free(streams[i]);
    }
    stream_count = kept;
  }
  return 0;
}
