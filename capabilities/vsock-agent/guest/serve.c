#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "power.h"
#include "session.h"

enum { SHUTDOWN_FLUSH_MS = 1000 };

static const uint8_t nobody[ID_SIZE];

static void handle(struct server *server, const struct frame *frame) {
  struct session *session = &server->session;
  const uint8_t *body = frame->body;
  bool all = memcmp(frame->id, nobody, ID_SIZE) == 0;
  bool ours = session->kind != SESSION_NONE && memcmp(frame->id, session->id, ID_SIZE) == 0;
  if (frame->type == FRAME_OPEN && !all) {
    session_open(server, frame->id, body, frame->size);
  } else if (frame->type == FRAME_CLOSE && !ours) {
    // Whatever an earlier client has left (zero), or nothing under this id any more.
    if (all) session_close(server, nobody);
    else link_send(&server->link, frame->id, FRAME_CLOSED, NULL, 0);
  } else if (!ours) {
    return;
  } else if (frame->type == FRAME_CLOSE) {
    session_close(server, session->id);
  } else if (frame->type == FRAME_STDIN) {
    session_input(server, body, frame->size);
  } else if (frame->type == FRAME_STDIN_EOF) {
    session_input_end(server);
  } else if (frame->type == FRAME_SIGNAL && frame->size == 1) {
    session_signal(session, body[0]);
  } else if (frame->type == FRAME_RESIZE && frame->size == 4) {
    session_resize(session, (uint16_t)(body[0] << 8 | body[1]), (uint16_t)(body[2] << 8 | body[3]));
  }
}

static void reap(struct server *server) {
  for (;;) {
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    int status;
    reaper_dead(&server->reaper, info.si_pid);
    if (waitpid(info.si_pid, &status, 0) != info.si_pid) return;
    struct session *session = &server->session;
    if (session->kind == SESSION_EXEC && !session->exited && session->pid == info.si_pid)
      session_exited(session, status);
  }
}

// Frames are taken only while an answer has room: a host that never reads can't make us queue.
static bool take_frames(struct server *server) {
  struct frame frame;
  bool any = false;
  while (link_room(&server->link, ANSWER_ROOM) && link_next(&server->link, &frame)) {
    handle(server, &frame);
    any = true;
  }
  return any;
}

static void wait_for_work(struct server *server, int children, int64_t deadline) {
  struct pollfd fds[5] = {
      {.fd = server->link.edges, .events = POLLIN},
      {.fd = children, .events = POLLIN},
  };
  size_t n = 2 + session_polls(&server->session, &server->link, fds + 2);
  int64_t left = deadline < 0 ? -1 : deadline - now_ms();
  int timeout = deadline < 0 ? -1 : left < 0 ? 0 : (int)left + 1;
  if (poll(fds, n, timeout) <= 0) return;
  if (fds[0].revents) link_changed(&server->link);
  if (fds[1].revents) {
    struct signalfd_siginfo info;
    if (read(children, &info, sizeof info) < 0 && errno != EAGAIN) warn("signalfd: %m");
    reap(server);
  }
}

static int loop(struct server *server, int children) {
  int64_t shutdown_at = -1;
  for (;;) {
    bool more = take_frames(server);
    int64_t gone_at = link_deadline(&server->link);
    if (server->link.state != LINK_UP) session_close(server, NULL);
    more |= session_pump(server);
    int64_t deadline = earlier(gone_at, reaper_run(&server->reaper, &server->link));
    // What went made room for what had to wait.
    more |= link_flush(&server->link);
    if (server->link.state == LINK_OVER && server->session.kind == SESSION_NONE &&
        server->reaper.count == 0)
      return server->link.serial ? 1 : 0;
    if (server->shutdown) {
      if (shutdown_at < 0) shutdown_at = now_ms() + SHUTDOWN_FLUSH_MS;
      if (link_flushed(&server->link) || shutdown_at <= now_ms()) {
        server->shutdown = false;
        request_shutdown();
      }
      deadline = earlier(deadline, shutdown_at);
    }
    deadline = earlier(deadline, session_deadline(server));
    // Looks even where there is more to do: a stream that takes all that is sent would keep a CLOSE unseen.
    wait_for_work(server, children, more ? 0 : deadline);
  }
}

int serve(int fd, enum stream_kind kind, bool restarted, bool guest) {
  struct server *server = calloc(1, sizeof *server);
  uint8_t *input = malloc(STDIN_WINDOW);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  signal(SIGPIPE, SIG_IGN);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (!server || !input || children < 0 || !link_init(&server->link, fd, kind == STREAM_SERIAL)) {
    warn("cannot serve: %s", strerror(errno));
    free(input);
    free(server);
    return 1;
  }
  server->session.input = input;
  server->guest = guest;
  session_init(&server->session);
  if (restarted) {
    link_cut(&server->link); // the one that died may have left half a frame
    link_send(&server->link, nobody, FRAME_RESTARTED, NULL, 0);
  }
  int code = loop(server, children);
  close(children);
  close(server->link.edges);
  free(input);
  free(server);
  return code;
}
