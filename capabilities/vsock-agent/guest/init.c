#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "cmdline.h"
#include "disk.h"
#include "fs.h"
#include "lean.h"
#include "log.h"
#include "modules.h"
#include "net.h"
#include "power.h"
#include "rootfs.h"
#include "seed.h"
#include "systemd.h"

// The VMM ends with the guest, and the host reads the reason in the console's log.
static _Noreturn void give_up(const char *what) {
  // Not by the kernel's log: it drops what follows the first ten messages.
  const char *why = errno ? strerror(errno) : "not found";
  dprintf(STDERR_FILENO, "banger: cannot start: %s: %s\n", what, why);
  reset();
}

// Whatever the kernel gave us; a guest without a console is fine.
static void open_console(void) {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY);
  if (fd < 0) fd = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3 && fd >= 0; i++) dup2(fd, i);
  if (fd > 2) close(fd);
}

static bool copy_agent(int from) {
  struct stat info;
  if (fstat(from, &info) != 0 || !make_parents(AGENT_PATH)) return false;
  int to = open(AGENT_PATH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
  off_t left = info.st_size;
  while (to >= 0 && left > 0) {
    ssize_t n = sendfile(to, from, NULL, (size_t)left);
    if (n <= 0) break;
    left -= n;
  }
  if (to >= 0) close(to);
  return to >= 0 && left == 0;
}

static _Noreturn void start_init(const char *path) {
  char *argv[] = {(char *)path, NULL};
  char *env[] = {"HOME=/", "TERM=linux",
                 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  if (!write_agent_unit()) warn("cannot write the agent's unit: %s", strerror(errno));
  execve(path, argv, env);
  give_up(path);
}

_Noreturn void init_main(void) {
  struct boot_options options;
  struct seed seed;
  prctl(PR_SET_NAME, "banger-init");
  char root[128], work[128] = "";
  if (!mount_initramfs_basics()) give_up("the initramfs");
  open_console();
  log_to_kernel();
  note("init at %lld ms", (long long)now_ms());
  read_boot_options(&options);
  load_modules();
  note("modules at %lld ms", (long long)now_ms());

  // Descriptors, because their paths are gone after the switch.
  int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  int seed_dir = open("/seed", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  seed_read(&seed, seed_dir);
  errno = 0;
  if (!find_disk(options.root, root, sizeof root)) give_up(options.root);
  if (options.work[0] && !find_disk(options.work, work, sizeof work)) give_up(options.work);
  int initramfs = enter_root(root);
  if (initramfs < 0) give_up(root);
  if (!mount_guest(work)) give_up("the guest's mounts");
  note("disks at %lld ms", (long long)now_ms());

  seed_apply(&seed, seed_dir);
  set_up_network(seed.address, seed.gateway);
  if (!copy_agent(self) ||
      !write_atomic(INIT_MARK, options.init, strlen(options.init), 0644))
    give_up(AGENT_PATH);
  close(self);
  if (seed_dir >= 0) close(seed_dir);
  delete_tree(initramfs);
  note("guest at %lld ms", (long long)now_ms());
  if (strcmp(options.init, "lean") != 0) start_init(options.init);
  lean_main();
}
