#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "exec.h"
#include "grow.h"
#include "health.h"
#include "identify.h"
#include "listening.h"
#include "power.h"
#include "stats.h"
#include "session-tar.h"

enum {
  PTY_GRACE_MS = 500,
  ACK_STEP = 32768,
  // What answers the host keeps its room, so that output can't shut CLOSE out.
  OUTPUT_ROOM = ANSWER_ROOM + 1,
};

void session_init(struct session *session) {
  uint8_t *input = session->input;
  memset(session, 0, sizeof *session);
  session->input = input;
  session->in = session->out = session->err = session->file = -1;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void finish(struct session *session) {
  close_fd(&session->in);
  close_fd(&session->out);
  close_fd(&session->err);
  close_fd(&session->file);
  free_tar(session);
  session_init(session);
}

static void send_error(struct server *server, const uint8_t *id, const char *what, int error) {
  char text[ERROR_MAX];
  int n = error ? snprintf(text, sizeof text, "%s: %s", what, strerror(error))
                : snprintf(text, sizeof text, "%s", what);
  size_t size = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
  link_send(&server->link, id, FRAME_ERROR, text, size);
}

static void send_exit(struct link *link, const uint8_t *id, enum exit_kind kind, int value) {
  uint8_t body[2] = {(uint8_t)kind, (uint8_t)value};
  link_send(link, id, FRAME_EXIT, body, sizeof body);
}

static void put_u32(uint8_t *out, uint32_t value) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void open_exec(struct server *server, const uint8_t *id) {
  struct request *request = &server->request;
  struct session *session = &server->session;
  if (request->arg_count == 0) return send_error(server, id, "exec needs an arg", 0);
  struct account account;
  if (request->user && !account_find(&account, request->user)) {
    if (errno != EINVAL) return send_error(server, id, "/etc/passwd", errno);
    char text[160];
    snprintf(text, sizeof text, "no such user: %.128s", request->user);
    return send_error(server, id, text, 0);
  }
  struct command command = {
      .argv = request->args,
      .env = request->env,
      .cwd = request->cwd,
      .account = request->user ? &account : NULL,
      .pty = request->pty,
      .no_stdin = request->no_stdin && !request->pty,
      .rows = request->rows,
      .cols = request->cols,
  };
  struct started started;
  start_command(&command, &started);
  if (started.failed == START_EXEC) {
    char text[512];
    int n = snprintf(text, sizeof text, "%.400s: %s\n", request->args[0], strerror(started.error));
    if (n > 0) link_send(&server->link, id, FRAME_STDERR, text, (size_t)n);
    return send_exit(&server->link, id, EXIT_CODE, started.error == ENOENT ? 127 : 126);
  }
  if (started.failed == START_CWD)
    return send_error(server, id, request->cwd ? request->cwd : "/", started.error);
  if (started.failed != START_OK)
    return send_error(server, id, "cannot start a process", started.error);
  session->kind = SESSION_EXEC;
  session->pid = started.pid;
  session->pty = request->pty;
  session->in = started.in;
  session->out = started.out;
  session->err = started.err;
  session->out_left = session->err_left = SIZE_MAX;
  uint8_t pid[4];
  put_u32(pid, (uint32_t)started.pid);
  link_send(&server->link, id, FRAME_OPENED, pid, sizeof pid);
}

static void open_put(struct server *server, const uint8_t *id) {
  const char *path = server->request.path ? server->request.path : "put needs a path";
  if (!upload_open(&server->session.upload, &server->request))
    return send_error(server, id, path, errno);
  server->session.kind = SESSION_PUT;
}

static void open_get(struct server *server, const uint8_t *id) {
  const char *path = server->request.path ? server->request.path : "get needs a path";
  server->session.file = download_open(server->request.path);
  if (server->session.file < 0) return send_error(server, id, path, errno);
  server->session.kind = SESSION_GET;
}

static void open_grow(struct server *server, const uint8_t *id) {
  const char *path = server->request.path;
  uint64_t bytes;
  char json[64];
  if (!path || path[0] != '/') return send_error(server, id, "grow needs an absolute path", 0);
  if (!grow_file_system(path, &bytes)) return send_error(server, id, path, errno);
  int n = snprintf(json, sizeof json, "{\"deviceBytes\":%llu}", (unsigned long long)bytes);
  link_send(&server->link, id, FRAME_REPLY, json, (size_t)n);
}

static void open_shutdown(struct server *server, const uint8_t *id) {
  if (!server->guest || !is_guest()) return send_error(server, id, "this is not a guest", 0);
  link_send(&server->link, id, FRAME_REPLY, "{}", 2);
  server->shutdown = true;
}

// Answered at once: the session is over before another frame is looked at.
static void reply(struct server *server, const uint8_t *id, size_t (*json)(char *, size_t)) {
  static char text[BODY_MAX];
  size_t size = json(text, sizeof text);
  if (size == 0) return send_error(server, id, "/proc does not tell", 0);
  link_send(&server->link, id, FRAME_REPLY, text, size);
}

static void open_identify(struct server *server, const uint8_t *id) {
  const char *failed;
  if (!server->guest || !is_guest()) return send_error(server, id, "this is not a guest", 0);
  if (!identify(&server->request.identity, &failed)) return send_error(server, id, failed, errno);
  link_send(&server->link, id, FRAME_REPLY, "{}", 2);
}

void session_open(struct server *server, const uint8_t *id, const uint8_t *body, size_t size) {
  session_close(server, NULL);
  const char *problem;
  if (!parse_request(&server->request, body, size, &problem))
    return send_error(server, id, problem, 0);
  memcpy(server->session.id, id, ID_SIZE);
  struct session *session = &server->session;
  struct request *request = &server->request;
  const char *method = request->method;
  if (strcmp(method, "exec") == 0) {
    open_exec(server, id);
  } else if (strcmp(method, "put") == 0) {
    open_put(server, id);
  } else if (strcmp(method, "get") == 0) {
    open_get(server, id);
  } else if (strcmp(method, "grow") == 0) {
    open_grow(server, id);
  } else if (strcmp(method, "tar") == 0 || strcmp(method, "untar") == 0) {
    const char *why = method[0] == 't' ? open_tar(session, request) : open_untar(session, request);
    if (why) send_error(server, id, why, 0);
    if (why) finish(session);
  } else if (strcmp(method, "shutdown") == 0) {
    open_shutdown(server, id);
  } else if (strcmp(method, "ports") == 0) {
    reply(server, id, listening_json);
  } else if (strcmp(method, "stats") == 0) {
    reply(server, id, stats_json);
  } else if (strcmp(method, "identify") == 0) {
    open_identify(server, id);
  } else if (strcmp(method, "healthz") == 0) {
    reply(server, id, health_json);
  } else {
    send_error(server, id, "no such method", 0);
  }
}

void session_close(struct server *server, const uint8_t *answer) {
  struct session *session = &server->session;
  bool running = session->kind == SESSION_EXEC && !session->exited;
  if (running) reaper_end(&server->reaper, session->pid, answer);
  else if (answer) link_send(&server->link, answer, FRAME_CLOSED, NULL, 0);
  if (session->kind == SESSION_PUT) upload_abort(&session->upload);
  finish(session);
}

void session_input(struct server *server, const uint8_t *body, size_t size) {
  struct session *session = &server->session;
  if (session->kind == SESSION_PUT) {
    if (!upload_write(&session->upload, body, size)) {
      send_error(server, session->id, session->upload.path, errno);
      return finish(session);
    }
    session->unacked += (uint32_t)size;
    return;
  }
  if (session->kind == SESSION_UNTAR) {
    if (untar_write(session->untar, body, size)) {
      session->unacked += (uint32_t)size;
      return;
    }
    send_error(server, session->id, session->untar->problem, 0);
    return finish(session);
  }
  if (session->kind != SESSION_EXEC) return;
  if (session->input_end || size > STDIN_WINDOW - session->input_size) {
    send_error(server, session->id, "more stdin than the window allows, or after its end", 0);
    return session_close(server, NULL);
  }
  size_t at = (session->input_at + session->input_size) % STDIN_WINDOW;
  size_t first = size < STDIN_WINDOW - at ? size : STDIN_WINDOW - at;
  memcpy(session->input + at, body, first);
  memcpy(session->input, body + first, size - first);
  session->input_size += size;
}

void session_input_end(struct server *server) {
  struct session *session = &server->session;
  if (session->kind == SESSION_PUT) {
    if (upload_commit(&session->upload)) send_exit(&server->link, session->id, EXIT_CODE, 0);
    else send_error(server, session->id, session->upload.path, errno);
    return finish(session);
  }
  if (session->kind == SESSION_UNTAR) {
    if (untar_end(session->untar)) send_exit(&server->link, session->id, EXIT_CODE, 0);
    else send_error(server, session->id, session->untar->problem, 0);
    return finish(session);
  }
  if (session->kind != SESSION_EXEC || session->input_end) return;
  session->input_end = true;
}

void session_signal(struct session *session, int number) {
  if (session->kind != SESSION_EXEC || session->exited || number < 1 || number >= _NSIG) return;
  pid_t foreground = 0;
  if (session->pty && session->out >= 0 && ioctl(session->out, TIOCGPGRP, &foreground) != 0)
    foreground = 0;
  kill(foreground > 1 ? -foreground : -session->pid, number);
}

void session_resize(struct session *session, uint16_t rows, uint16_t cols) {
  struct winsize size = {.ws_row = rows, .ws_col = cols};
  if (session->kind == SESSION_EXEC && session->pty && session->out >= 0)
    ioctl(session->out, TIOCSWINSZ, &size);
}

// Everything that the command itself wrote is in its pipes by now. What a background process that
// kept them open writes later is not awaited.
void session_exited(struct session *session, int status) {
  int out = 0, err = 0;
  session->exited = true;
  session->status = status;
  session->pty_deadline = now_ms() + PTY_GRACE_MS;
  if (session->pty) return;
  if (session->out >= 0 && ioctl(session->out, FIONREAD, &out) == 0) session->out_left = (size_t)out;
  if (session->err >= 0 && ioctl(session->err, FIONREAD, &err) == 0) session->err_left = (size_t)err;
}

static bool pump_output(struct server *server, int *fd, size_t *left, uint8_t type) {
  static uint8_t data[BODY_MAX];
  struct session *session = &server->session;
  if (*fd < 0) return false;
  if (session->hung_up) {
    if (session->exited) close_fd(fd);
    return session->exited;
  }
  if (*left == 0) {
    close_fd(fd);
    return true;
  }
  if (!link_room(&server->link, OUTPUT_ROOM)) return false;
  ssize_t n = read(*fd, data, *left < sizeof data ? *left : sizeof data);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n > 0) {
    link_send(&server->link, session->id, type, data, (size_t)n);
    if (*left != SIZE_MAX) *left -= (size_t)n;
  } else if (session->pty && !session->exited) {
    // EIO: the command has closed its terminal and is about to exit. To close this end now would kill
    // it by SIGHUP first.
    session->hung_up = true;
  } else {
    close_fd(fd);
  }
  return true;
}

static bool pump_input(struct session *session) {
  bool moved = false;
  while (session->input_size > 0) {
    size_t first = STDIN_WINDOW - session->input_at;
    size_t size = session->input_size < first ? session->input_size : first;
    const uint8_t *from = session->input + session->input_at;
    ssize_t n = session->in < 0 ? (ssize_t)size : write(session->in, from, size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n < 0) {
      close_fd(&session->in); // nobody reads it: the rest is dropped, and acknowledged
      continue;
    }
    if (n > 0) {
      uint8_t last = session->input[session->input_at + (size_t)n - 1];
      session->line_begun = last != '\n' && last != '\r';
    }
    session->input_at = (session->input_at + (size_t)n) % STDIN_WINDOW;
    session->input_size -= (size_t)n;
    session->unacked += (uint32_t)n;
    moved = true;
  }
  if (session->input_size == 0 && session->input_end && session->in >= 0) {
    // A terminal has no end of file of its own: ^D is what a person would type, and twice where a
    // line has begun, as the first one then only hands that line over.
    size_t size = session->line_begun ? 2 : 1;
    if (session->pty && write(session->in, "\4\4", size) < 0 && errno == EAGAIN) return moved;
    close_fd(&session->in);
  }
  return moved;
}

static void acknowledge(struct server *server) {
  struct session *session = &server->session;
  bool due = session->unacked >= ACK_STEP || (session->unacked > 0 && session->input_size == 0);
  if (!due || !link_room(&server->link, OUTPUT_ROOM)) return;
  uint8_t body[4];
  put_u32(body, session->unacked);
  session->unacked = 0;
  link_send(&server->link, session->id, FRAME_ACK, body, sizeof body);
}

int64_t session_deadline(const struct server *server) {
  const struct session *session = &server->session;
  bool waiting = session->kind == SESSION_EXEC && session->exited && session->pty;
  // Without room there may be output that nobody has read yet.
  bool drained = waiting && session->out >= 0 && link_room(&server->link, OUTPUT_ROOM);
  return drained ? session->pty_deadline : -1;
}

static bool pump_exec(struct server *server) {
  struct session *session = &server->session;
  bool moved = pump_input(session);
  moved |= pump_output(server, &session->out, &session->out_left, FRAME_STDOUT);
  moved |= pump_output(server, &session->err, &session->err_left, FRAME_STDERR);
  acknowledge(server);
  int64_t deadline = session_deadline(server);
  if (!moved && deadline >= 0 && deadline <= now_ms()) close_fd(&session->out);
  if (!session->exited || session->out >= 0 || session->err >= 0) return moved;
  if (!link_room(&server->link, 1)) return false;
  if (WIFSIGNALED(session->status))
    send_exit(&server->link, session->id, EXIT_SIGNAL, WTERMSIG(session->status));
  else send_exit(&server->link, session->id, EXIT_CODE, WEXITSTATUS(session->status));
  finish(session);
  return true;
}

static bool pump_get(struct server *server) {
  static uint8_t data[BODY_MAX];
  struct session *session = &server->session;
  if (!link_room(&server->link, OUTPUT_ROOM)) return false;
  ssize_t n = read(session->file, data, sizeof data);
  if (n > 0) {
    link_send(&server->link, session->id, FRAME_STDOUT, data, (size_t)n);
    return true;
  }
  if (n < 0) send_error(server, session->id, "read", errno);
  else send_exit(&server->link, session->id, EXIT_CODE, 0);
  finish(session);
  return true;
}

static bool pump_tar(struct server *server) {
  struct session *session = &server->session;
  if (!link_room(&server->link, OUTPUT_ROOM)) return false;
  enum tar_out_result result = send_tar(&server->link, session);
  if (result == TAR_OUT_MORE) return true;
  if (result == TAR_OUT_DONE) send_exit(&server->link, session->id, EXIT_CODE, 0);
  else send_error(server, session->id, session->tar->problem, 0);
  finish(session);
  return true;
}

bool session_pump(struct server *server) {
  switch (server->session.kind) {
    case SESSION_EXEC: return pump_exec(server);
    case SESSION_GET: return pump_get(server);
    case SESSION_TAR: return pump_tar(server);
    case SESSION_PUT:
    case SESSION_UNTAR: acknowledge(server); return false;
    case SESSION_NONE: return false;
  }
  return false;
}

size_t session_polls(const struct session *session, const struct link *link, struct pollfd *fds) {
  size_t n = 0;
  if (session->kind != SESSION_EXEC) return 0;
  if (session->in >= 0 && (session->input_size > 0 || session->input_end))
    fds[n++] = (struct pollfd){.fd = session->in, .events = POLLOUT};
  if (!link_room(link, OUTPUT_ROOM)) return n;
  if (session->out >= 0 && !session->hung_up)
    fds[n++] = (struct pollfd){.fd = session->out, .events = POLLIN};
  if (session->err >= 0) fds[n++] = (struct pollfd){.fd = session->err, .events = POLLIN};
  return n;
}
