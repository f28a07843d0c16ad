// Messages go to the kernel's log, which the serial console shows, and to a bounded file; or to stderr
// outside a guest.
#pragma once

#define AGENT_LOG "/run/banger/agent.log"
#define AGENT_LOG_OLD AGENT_LOG ".1"

void log_to_kernel(void);
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
