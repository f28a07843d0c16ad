#include "power.h"

#include <errno.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"
#include "log.h"

enum { TERM_GRACE_MS = 2000, KILL_GRACE_MS = 1000, MOUNTS_MAX = 256 };

bool is_guest(void) { return access(INIT_MARK, F_OK) == 0; }

void request_shutdown(void) {
  char init[128];
  read_line(INIT_MARK, init, sizeof init);
  if (strcmp(init, "lean") == 0) {
    kill(1, SIGTERM);
  } else if (access("/run/systemd/system", F_OK) == 0 &&
             access("/run/systemd/private", F_OK) == 0) {
    kill(1, SIGRTMIN + 5); // systemd(1): starts reboot.target
  } else if (fork() == 0) {
    // An init that we don't know how to ask. In a child: the agent's own processes die with others.
    power_down();
  }
}

_Noreturn void reset(void) {
  sync();
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

// Only process 1 has everybody as a child, sooner or later: no child left means nobody is left.
static void await_children(int64_t deadline) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  for (;;) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) continue;
    int64_t left = deadline - now_ms();
    if (pid < 0 || left <= 0) return;
    struct timespec wait = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
    sigtimedwait(&child, NULL, &wait);
  }
}

static void unmount_disks(void) {
  static char dirs[MOUNTS_MAX][256];
  int n = 0;
  FILE *mounts = setmntent("/proc/self/mounts", "r");
  struct mntent *entry;
  while (mounts && n < MOUNTS_MAX && (entry = getmntent(mounts)))
    if (strncmp(entry->mnt_fsname, "/dev/", 5) == 0 && strcmp(entry->mnt_dir, "/") != 0 &&
        strlen(entry->mnt_dir) < sizeof dirs[0])
      strcpy(dirs[n++], entry->mnt_dir);
  if (mounts) endmntent(mounts);
  while (n-- > 0)
    if (umount2(dirs[n], UMOUNT_NOFOLLOW) != 0 &&
        mount(NULL, dirs[n], NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
      warn("cannot unmount %s: %s", dirs[n], strerror(errno));
  if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
    warn("cannot make / read-only: %s", strerror(errno));
}

_Noreturn void power_down(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  // An interactive shell ignores TERM but not HUP; a stopped process must run to see either.
  kill(-1, SIGTERM);
  kill(-1, SIGHUP);
  kill(-1, SIGCONT);
  await_children(now_ms() + TERM_GRACE_MS);
  kill(-1, SIGKILL);
  await_children(now_ms() + KILL_GRACE_MS);
  sync();
  unmount_disks();
  reset();
}
