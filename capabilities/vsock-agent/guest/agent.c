#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "exec.h"
#include "fs.h"
#include "log.h"
#include "ports.h"
#include "serve.h"
#include "uevents.h"
#include "vsock.h"

enum { CONNECTIONS_MAX = 64, FIRST_PAUSE_MS = 50, LAST_PAUSE_MS = 5000 };

#define STARTED_MARK "/run/banger/agent-started"

// The agent holds each port open: should its handler die, the port stays, and so does what the host
// sends meanwhile.
struct handler {
  char device[64];
  int fd;
  pid_t pid;
  int64_t start_at; // when to start it again
  int64_t pause;
  bool restarted;
};

struct agent {
  struct handler handlers[PORTS_MAX];
  size_t count;
  int listener, connections;
  bool restarted;
  // A port that cannot be opened is somebody else's: of a killed agent's handler, which is not quite dead yet, or
  // of a program that has taken it. Both leave it some day, and no event tells.
  int64_t ports_at; // when to look again, or -1
  int64_t ports_pause;
};

static pid_t start_handler(int fd, enum stream_kind kind, bool restarted) {
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid != 0) return pid;
  // Else a new agent would find its ports taken by the old one's handlers.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  reset_signals();
  _exit(serve(fd, kind, restarted, true));
}

static int64_t start_due(struct agent *agent) {
  int64_t next = -1;
  for (size_t i = 0; i < agent->count; i++) {
    struct handler *handler = &agent->handlers[i];
    if (handler->pid > 0) continue;
    int64_t now = now_ms();
    if (handler->start_at <= now) {
      handler->pid = start_handler(handler->fd, STREAM_SERIAL, handler->restarted);
      handler->restarted = true;
      handler->start_at = now + handler->pause;
      if (handler->pid > 0) continue;
    }
    if (next < 0 || handler->start_at < next) next = handler->start_at;
  }
  return next;
}

static void handler_died(struct agent *agent, pid_t pid, int status) {
  for (size_t i = 0; i < agent->count; i++) {
    struct handler *handler = &agent->handlers[i];
    if (handler->pid != pid) continue;
    int64_t now = now_ms(), lived = now - handler->start_at + handler->pause;
    handler->pause = lived > LAST_PAUSE_MS || handler->pause == 0 ? FIRST_PAUSE_MS : handler->pause * 2;
    if (handler->pause > LAST_PAUSE_MS) handler->pause = LAST_PAUSE_MS;
    handler->pid = 0;
    handler->start_at = now + handler->pause;
    if (access(handler->device, F_OK) == 0) {
      warn("the handler of %s ended (status %d)", handler->device, status);
    } else {
      close(handler->fd); // unplugged
      *handler = agent->handlers[--agent->count];
    }
    return;
  }
  agent->connections--;
}

static void reap(struct agent *agent, int children) {
  struct signalfd_siginfo info;
  if (read(children, &info, sizeof info) < 0 && errno != EAGAIN) warn("signalfd: %m");
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) handler_died(agent, pid, status);
}

static void accept_one(struct agent *agent) {
  int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (start_handler(fd, STREAM_SOCKET, false) > 0) agent->connections++;
  close(fd);
}

static bool known(const struct agent *agent, const char *device) {
  for (size_t i = 0; i < agent->count; i++)
    if (strcmp(agent->handlers[i].device, device) == 0) return true;
  return false;
}

static void open_new_ports(struct agent *agent) {
  struct port ports[PORTS_MAX];
  bool all = true;
  size_t n = find_ports(ports, PORTS_MAX);
  for (size_t i = 0; i < n && agent->count < PORTS_MAX; i++) {
    if (known(agent, ports[i].device)) continue;
    int fd = open(ports[i].device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
      if (agent->ports_at < 0) warn("%s: %s", ports[i].device, strerror(errno));
      all = false;
      continue;
    }
    struct handler *handler = &agent->handlers[agent->count++];
    *handler = (struct handler){.fd = fd, .restarted = agent->restarted};
    strcpy(handler->device, ports[i].device);
  }
  agent->ports_pause = all || agent->ports_pause == 0 ? FIRST_PAUSE_MS : agent->ports_pause * 2;
  if (agent->ports_pause > LAST_PAUSE_MS) agent->ports_pause = LAST_PAUSE_MS;
  agent->ports_at = all ? -1 : now_ms() + agent->ports_pause;
}

static bool first_start(void) {
  int fd = open(STARTED_MARK, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd >= 0) close(fd);
  return fd >= 0 || errno != EEXIST;
}

static void protect_from_oom(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || !write_all(fd, "-900", 4)) warn("oom_score_adj: %s", strerror(errno));
  if (fd >= 0) close(fd);
}

int agent_main(void) {
  static struct agent agent = {.listener = -1, .ports_at = -1};
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_SETMASK, &child, NULL);
  int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  protect_from_oom();
  agent.restarted = !first_start();
  note("the agent starts%s", agent.restarted ? " again" : "");
  // The driver hears of its ports one by one, in messages that follow its probe; so listen first.
  int uevents = uevents_open();
  if (children < 0 || uevents < 0) {
    warn("cannot start: %s", strerror(errno));
    return 1;
  }
  agent.listener = vsock_listen();
  open_new_ports(&agent);
  note("%zu ports%s", agent.count, agent.listener < 0 ? "" : ", vsock");
  if (agent.listener >= 0) vsock_announce();
  for (;;) {
    if (agent.ports_at >= 0 && agent.ports_at <= now_ms()) open_new_ports(&agent);
    int64_t next = earlier(start_due(&agent), agent.ports_at);
    int64_t left = next < 0 ? -1 : next - now_ms();
    bool accepting = agent.listener >= 0 && agent.connections < CONNECTIONS_MAX;
    struct pollfd fds[3] = {
        {.fd = children, .events = POLLIN},
        {.fd = uevents, .events = POLLIN},
        {.fd = accepting ? agent.listener : -1, .events = POLLIN},
    };
    if (poll(fds, 3, next < 0 ? -1 : left < 0 ? 0 : (int)left + 1) <= 0) continue;
    if (fds[0].revents) reap(&agent, children);
    if (fds[1].revents && uevents_ports_changed(uevents)) open_new_ports(&agent);
    if (fds[2].revents) accept_one(&agent);
  }
}
