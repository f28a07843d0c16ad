#include "lean.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "exec.h"
#include "log.h"
#include "power.h"

enum { FIRST_PAUSE_MS = 50, LAST_PAUSE_MS = 5000 };

#define BOOT_SCRIPT "/etc/banger/boot"
#define BOOT_LOG "/run/banger/boot.log"

static void set_environment(void) {
  clearenv();
  setenv("HOME", "/root", 1);
  setenv("USER", "root", 1);
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("LANG", "C.UTF-8", 1);
}

static pid_t start(const char *path, char *const argv[], const char *output) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  setsid();
  reset_signals();
  int fd = output ? open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  if (fd >= 0) {
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
  }
  execv(path, argv);
  warn("cannot execute %s: %m", path);
  _exit(127);
}

// What the image starts by itself, sshd for one. Not supervised: that is its own business.
static void start_boot_script(void) {
  char *argv[] = {BOOT_SCRIPT, NULL};
  if (access(BOOT_SCRIPT, X_OK) == 0) start(BOOT_SCRIPT, argv, BOOT_LOG);
}

static pid_t start_agent(void) {
  char *argv[] = {AGENT_PATH, "agent", NULL};
  return start(AGENT_PATH, argv, NULL);
}

_Noreturn void lean_main(void) {
  // signal() and waitpid() never woke as process 1: block everything and take signals in turn.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  reboot(RB_DISABLE_CAD); // Ctrl-Alt-Del comes as SIGINT
  set_environment();
  int64_t pause = 0, started = now_ms(), start_at = started;
  pid_t agent = start_agent();
  start_boot_script();
  for (;;) {
    if (agent <= 0 && start_at <= now_ms()) {
      agent = start_agent();
      started = now_ms();
      start_at = started + LAST_PAUSE_MS; // should fork have failed
    }
    int64_t left = start_at - now_ms();
    if (left < 0) left = 0;
    struct timespec wait = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
    int number = sigtimedwait(&all, NULL, agent > 0 ? NULL : &wait);
    if (number == SIGTERM || number == SIGINT || number == SIGPWR) power_down();
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
      if (pid != agent) continue;
      bool steady = now_ms() - started > LAST_PAUSE_MS;
      pause = steady || pause == 0 ? FIRST_PAUSE_MS : pause * 2;
      if (pause > LAST_PAUSE_MS) pause = LAST_PAUSE_MS;
      agent = 0;
      start_at = now_ms() + pause;
      warn("the agent ended; it starts again in %d ms", (int)pause);
    }
  }
}
