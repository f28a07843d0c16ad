#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "exec.h"

struct fake {
  pid_t pid; // 0: there is none
  bool dead;
  bool ignores_hangup;
  int status;
  int fds[3]; // the command's ends
};

static struct fake fakes[COMMANDS_MAX];
static pid_t next_pid;

void commands_init(void) {
  memset(fakes, 0, sizeof fakes);
  next_pid = 100000;
}

static struct fake *running(void) {
  struct fake *oldest = NULL;
  for (size_t i = 0; i < COMMANDS_MAX; i++)
    if (fakes[i].pid > 0 && !fakes[i].dead && (!oldest || fakes[i].pid < oldest->pid))
      oldest = &fakes[i];
  return oldest;
}

static void shut(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void die(struct fake *fake, int status) {
  if (fake->dead) return;
  fake->dead = true;
  fake->status = status;
  for (int i = 0; i < 3; i++) shut(&fake->fds[i]);
  // Blocked, and read by the agent's signalfd.
  CHECK(pthread_kill(pthread_self(), SIGCHLD) == 0);
}

void command_write(int fd, uint8_t byte, size_t size) {
  static uint8_t data[65536];
  struct fake *fake = running();
  if (!fake || fake->fds[fd] < 0) return;
  if (size > sizeof data) size = sizeof data;
  memset(data, byte, size);
  if (write(fake->fds[fd], data, size) < 0) CHECK(errno == EAGAIN || errno == EPIPE);
}

void command_read(size_t size) {
  static uint8_t data[65536];
  struct fake *fake = running();
  if (!fake || fake->fds[0] < 0) return;
  if (read(fake->fds[0], data, size < sizeof data ? size : sizeof data) < 0) CHECK(errno == EAGAIN);
}

void command_close(int fd) {
  struct fake *fake = running();
  if (fake) shut(&fake->fds[fd]);
}

void command_end(int status) {
  struct fake *fake = running();
  if (fake) die(fake, status);
}

bool commands_end_one(void) {
  struct fake *fake = running();
  if (fake) die(fake, 0);
  return fake != NULL;
}

void commands_dispose(void) {
  for (size_t i = 0; i < COMMANDS_MAX; i++)
    if (fakes[i].pid > 0)
      for (int fd = 0; fd < 3; fd++) shut(&fakes[i].fds[fd]);
  memset(fakes, 0, sizeof fakes);
}

static bool open_ends(struct fake *fake, const struct command *command, struct started *started) {
  int pair[2];
  const int flags = O_NONBLOCK | O_CLOEXEC;
  if (command->pty) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) return false;
    started->out = pair[0];
    started->in = dup(pair[0]);
    fake->fds[1] = pair[1];
    fake->fds[0] = dup(pair[1]);
    return started->in >= 0 && fake->fds[0] >= 0;
  }
  if (!command->no_stdin) {
    if (pipe2(pair, flags) != 0) return false;
    fake->fds[0] = pair[0];
    started->in = pair[1];
  }
  if (pipe2(pair, flags) != 0) return false;
  started->out = pair[0];
  fake->fds[1] = pair[1];
  if (pipe2(pair, flags) != 0) return false;
  started->err = pair[0];
  fake->fds[2] = pair[1];
  return true;
}

// By the command's name: `none` is not there, `data` cannot be executed, `stay` ignores a hang-up.
void start_command(const struct command *command, struct started *started) {
  *started = (struct started){.failed = START_PREPARE, .error = EAGAIN, .in = -1, .out = -1, .err = -1};
  const char *name = command->argv[0];
  if (command->cwd && strcmp(command->cwd, "/none") == 0) {
    started->failed = START_CWD;
    started->error = ENOENT;
    return;
  }
  if (strcmp(name, "none") == 0 || strcmp(name, "data") == 0) {
    started->failed = START_EXEC;
    started->error = name[0] == 'n' ? ENOENT : EACCES;
    return;
  }
  for (size_t i = 0; i < COMMANDS_MAX; i++) {
    struct fake *fake = &fakes[i];
    if (fake->pid > 0) continue;
    *fake = (struct fake){.pid = next_pid++, .fds = {-1, -1, -1}};
    fake->ignores_hangup = strcmp(name, "stay") == 0;
    CHECK(open_ends(fake, command, started));
    started->failed = START_OK;
    started->pid = fake->pid;
    return;
  }
}

void reset_signals(void) {}

// Only ever a process group of our own commands.
int kill(pid_t pid, int number) {
  CHECK(pid < -1);
  for (size_t i = 0; i < COMMANDS_MAX; i++) {
    struct fake *fake = &fakes[i];
    if (fake->pid != -pid) continue;
    if (number == SIGKILL || (number == SIGHUP && !fake->ignores_hangup)) die(fake, number);
    return 0;
  }
  errno = ESRCH;
  return -1;
}

static struct fake *zombie(void) {
  for (size_t i = 0; i < COMMANDS_MAX; i++)
    if (fakes[i].pid > 0 && fakes[i].dead) return &fakes[i];
  return NULL;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
  CHECK(type == P_ALL && id == 0 && options == (WEXITED | WNOHANG | WNOWAIT));
  const struct fake *fake = zombie();
  info->si_pid = fake ? fake->pid : 0;
  return 0;
}

pid_t waitpid(pid_t pid, int *status, int options) {
  CHECK(options == 0);
  struct fake *fake = zombie();
  CHECK(fake && fake->pid == pid);
  *status = fake->status;
  fake->pid = 0;
  return pid;
}
