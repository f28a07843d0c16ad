#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static int kmsg = -1;

void log_to_kernel(void) { kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC); }

static void emit(int level, const char *format, va_list args) {
  char line[512];
  int start = kmsg >= 0 ? snprintf(line, sizeof line, "<%d>banger: ", level)
                        : snprintf(line, sizeof line, "banger: ");
  int room = (int)sizeof line - start - 1;
  int n = vsnprintf(line + start, (size_t)room, format, args);
  if (n < 0) return;
  int end = start + (n < room ? n : room - 1);
  line[end++] = '\n';
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
