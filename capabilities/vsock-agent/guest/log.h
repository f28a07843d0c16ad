// Messages go to the kernel's log, which the serial console shows, or to stderr outside a guest.
#pragma once

void log_to_kernel(void);
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
