// One session: what an OPEN began, up to the frame that ends it.
#pragma once
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fields.h"
#include "files.h"
#include "link.h"
#include "reaper.h"
#include "tar-out.h"
#include "untar.h"

enum session_kind { SESSION_NONE, SESSION_EXEC, SESSION_PUT, SESSION_GET, SESSION_TAR, SESSION_UNTAR };

struct session {
  enum session_kind kind;
  uint8_t id[ID_SIZE];

  pid_t pid;
  bool exited, pty;
  /** The terminal was closed by those who had it. */
  bool hung_up;
  int status;
  int64_t pty_deadline; // after the exit, a PTY's end of file is awaited until then
  int in, out, err;
  size_t out_left, err_left; // what may still be read: bounded once the command has ended

  uint8_t *input; // STDIN_WINDOW bytes, a ring
  size_t input_at, input_size;
  bool input_end, line_begun;
  uint32_t unacked;

  struct upload upload;
  int file;
  struct tar_out *tar;
  struct untar *untar;
};

struct server {
  struct link link;
  struct reaper reaper;
  struct session session;
  struct request request;
  bool guest; // the stream belongs to a guest whose power is ours to switch
  bool shutdown;
};

void session_init(struct session *session);
void session_open(struct server *server, const uint8_t *id, const uint8_t *body, size_t size);
void session_input(struct server *server, const uint8_t *body, size_t size);
void session_input_end(struct server *server);
void session_signal(struct session *session, int number);
void session_resize(struct session *session, uint16_t rows, uint16_t cols);

// Ends it. CLOSED is sent under the id `answer`, where it is not NULL, once the command is dead.
void session_close(struct server *server, const uint8_t *answer);
void session_exited(struct session *session, int status);

// Moves bytes and ends the session where it is done. True: it could go on without waiting.
bool session_pump(struct server *server);

// When the session wants to go on though nothing has happened, or -1.
int64_t session_deadline(const struct server *server);

// What to wait for. `fds` has room for three. Returns how many.
size_t session_polls(const struct session *session, const struct link *link, struct pollfd *fds);
