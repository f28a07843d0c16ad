#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs.h"

struct failure {
  enum start_stage stage;
  int error;
};

struct ends {
  int child[3], parent[3];
  int slave;
};

void reset_signals(void) {
  for (int n = 1; n < _NSIG; n++) signal(n, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  umask(022);
}

static void close_ends(int *fds, int n) {
  for (int i = 0; i < n; i++) {
    if (fds[i] >= 0) close(fds[i]);
    fds[i] = -1;
  }
}

static bool open_pty(struct ends *ends, const struct command *command) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return false;
  ends->parent[1] = master;
  char name[64];
  struct winsize size = {.ws_row = command->rows, .ws_col = command->cols};
  if (grantpt(master) != 0 || unlockpt(master) != 0 || ptsname_r(master, name, sizeof name) != 0 ||
      ioctl(master, TIOCSWINSZ, &size) != 0)
    return false;
  ends->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  ends->parent[0] = fcntl(master, F_DUPFD_CLOEXEC, 3);
  return ends->slave >= 0 && ends->parent[0] >= 0;
}

static bool open_pipes(struct ends *ends, const struct command *command) {
  int pair[2];
  if (command->no_stdin) {
    ends->child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (ends->child[0] < 0) return false;
  } else {
    if (pipe2(pair, O_CLOEXEC) != 0) return false;
    ends->child[0] = pair[0];
    ends->parent[0] = pair[1];
  }
  for (int i = 1; i < 3; i++) {
    if (pipe2(pair, O_CLOEXEC) != 0) return false;
    ends->parent[i] = pair[0];
    ends->child[i] = pair[1];
  }
  return true;
}

static bool set_nonblocking(const int *fds) {
  for (int i = 0; i < 3; i++) {
    int flags = fds[i] < 0 ? 0 : fcntl(fds[i], F_GETFL);
    if (fds[i] >= 0 && (flags < 0 || fcntl(fds[i], F_SETFL, flags | O_NONBLOCK) != 0)) return false;
  }
  return true;
}

static void base_environment(bool pty, const struct account *account) {
  const char *name = account ? account->name : "root";
  const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
  clearenv();
  setenv("HOME", account ? account->home : "/root", 1);
  setenv("USER", name, 1);
  setenv("LOGNAME", name, 1);
  setenv("SHELL", account && account->shell[0] ? account->shell : shell, 1);
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("LANG", "C.UTF-8", 1);
  if (pty) setenv("TERM", "xterm-256color", 1);
}

static _Noreturn void fail(int report, enum start_stage stage) {
  struct failure failure = {.stage = stage, .error = errno};
  _exit(write_all(report, &failure, sizeof failure) ? 126 : 125);
}

// Groups first: afterwards it is not allowed to.
static bool become(const struct account *account) {
  return setgroups(account->group_count, account->groups) == 0 &&
         setresgid(account->gid, account->gid, account->gid) == 0 &&
         setresuid(account->uid, account->uid, account->uid) == 0;
}

static _Noreturn void run_child(const struct command *command, struct ends *ends, int report) {
  setsid();
  int std[3];
  for (int i = 0; i < 3; i++) {
    // Above the standard ones first, so that no dup2 overwrites a source.
    std[i] = fcntl(command->pty ? ends->slave : ends->child[i], F_DUPFD_CLOEXEC, 3);
    if (std[i] < 0) fail(report, START_PREPARE);
  }
  if (command->pty && ioctl(ends->slave, TIOCSCTTY, 0) != 0) fail(report, START_PREPARE);
  for (int i = 0; i < 3; i++)
    if (dup2(std[i], i) < 0) fail(report, START_PREPARE);
  reset_signals();
  // The agent itself is protected from the OOM killer; what it runs is not.
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0 && !write_all(score, "0", 1)) errno = 0;
  base_environment(command->pty, command->account);
  // Its terminal is its own, as login(1) has it.
  if (command->account && command->pty && fchown(0, command->account->uid, (gid_t)-1) != 0)
    fail(report, START_PREPARE);
  if (command->account && !become(command->account)) fail(report, START_PREPARE);
  for (char **pair = command->env; *pair; pair++)
    if (putenv(*pair) != 0) fail(report, START_PREPARE);
  if (command->cwd) {
    if (chdir(command->cwd) != 0) fail(report, START_CWD);
  } else if (chdir(command->account ? command->account->home : "/root") != 0 && chdir("/") != 0) {
    fail(report, START_CWD);
  }
  execvp(command->argv[0], command->argv);
  fail(report, START_EXEC);
}

void start_command(const struct command *command, struct started *started) {
  *started = (struct started){.failed = START_PREPARE, .in = -1, .out = -1, .err = -1};
  struct ends ends = {.child = {-1, -1, -1}, .parent = {-1, -1, -1}, .slave = -1};
  int report[2] = {-1, -1};
  bool ready = (command->pty ? open_pty(&ends, command) : open_pipes(&ends, command)) &&
               set_nonblocking(ends.parent) && pipe2(report, O_CLOEXEC) == 0;
  pid_t pid = ready ? fork() : -1;
  if (pid == 0) run_child(command, &ends, report[1]);
  started->error = errno;
  close_ends(ends.child, 3);
  close_ends(&ends.slave, 1);
  close_ends(&report[1], 1);
  if (pid > 0) {
    struct failure failure;
    ssize_t n;
    while ((n = read(report[0], &failure, sizeof failure)) < 0 && errno == EINTR) continue;
    if (n == (ssize_t)sizeof failure) {
      started->failed = failure.stage;
      started->error = failure.error;
      while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    } else {
      started->failed = START_OK;
    }
  }
  close_ends(&report[0], 1);
  if (started->failed != START_OK) {
    close_ends(ends.parent, 3);
    return;
  }
  started->pid = pid;
  started->in = ends.parent[0];
  started->out = ends.parent[1];
  started->err = ends.parent[2];
}
