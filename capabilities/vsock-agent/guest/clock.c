#include "clock.h"

#include <time.h>

int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int poll_again(int64_t deadline) {
  if (now_ms() >= deadline) return 0;
  struct timespec step = {.tv_nsec = 2000000};
  nanosleep(&step, 0);
  return 1;
}
