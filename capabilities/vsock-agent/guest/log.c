#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

enum { FILE_MAX = 65536 };

static int kmsg = -1;

void log_to_kernel(void) { kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC); }

// The file is there for `vm logs --agent`, long after the console and the kernel's ring have lost the line. It
// and the one before it are bounded; before the guest has its /run there is none.
static void keep(const char *text) {
  char line[544];
  int64_t now = now_ms();
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  int fd = open(AGENT_LOG, flags, 0600);
  struct stat info;
  if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size > FILE_MAX) {
    close(fd);
    fd = rename(AGENT_LOG, AGENT_LOG_OLD) == 0 ? open(AGENT_LOG, flags, 0600) : -1;
  }
  if (fd < 0) return;
  int n = snprintf(line, sizeof line, "[%5lld.%03lld] %s", (long long)(now / 1000),
                   (long long)(now % 1000), text);
  if (n > 0 && write(fd, line, strnlen(line, sizeof line - 1)) < 0) return (void)close(fd);
  close(fd);
}

static void emit(int level, const char *format, va_list args) {
  char line[512];
  int start = kmsg >= 0 ? snprintf(line, sizeof line, "<%d>banger: ", level)
                        : snprintf(line, sizeof line, "banger: ");
  int room = (int)sizeof line - start - 2; // a newline and a NUL follow
  int n = vsnprintf(line + start, (size_t)room, format, args);
  if (n < 0) return;
  int end = start + (n < room ? n : room - 1);
  line[end++] = '\n';
  line[end] = 0;
  if (kmsg >= 0) keep(line + start);
  if (write(kmsg >= 0 ? kmsg : STDERR_FILENO, line, (size_t)end) < 0) return;
}

// Info (6) stays out of a `quiet` console; errors (3) are shown there.
void note(const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (kmsg >= 0) emit(6, format, args);
  va_end(args);
}

void warn(const char *format, ...) {
  va_list args;
  va_start(args, format);
  emit(3, format, args);
  va_end(args);
}
