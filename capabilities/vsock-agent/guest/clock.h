#pragma once
#include <stdint.h>

int64_t now_ms(void); // since boot

// For a condition that can only be asked: waits one step; false once `deadline` (ms) has passed.
int poll_again(int64_t deadline);
