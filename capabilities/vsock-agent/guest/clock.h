#pragma once
#include <stdint.h>

int64_t now_ms(void); // since boot

// Of two times, of which -1 is never.
static inline int64_t earlier(int64_t a, int64_t b) { return a < 0 ? b : b < 0 || a < b ? a : b; }

// For a condition that can only be asked: waits one step; false once `deadline` (ms) has passed.
int poll_again(int64_t deadline);
