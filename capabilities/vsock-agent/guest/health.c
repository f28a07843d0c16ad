#include "health.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fs.h"
#include "plain.h"
#include "power.h"
#include "wire.h"

#ifndef AGENT_VERSION
#define AGENT_VERSION "0.1.0"
#endif

size_t health_json(char *out, size_t size) {
  char hostname[65] = "", machine[64], boot[64], init[128];
  if (gethostname(hostname, sizeof hostname - 1) != 0) hostname[0] = 0;
  read_line("/etc/machine-id", machine, sizeof machine);
  read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
  read_line(INIT_MARK, init, sizeof init);
  if (init[0] == 0) read_line("/proc/1/comm", init, sizeof init);
  plain(hostname);
  plain(machine);
  plain(boot);
  plain(init);
  int n = snprintf(out, size,
                   "{\"agent\":\"%s\",\"protocol\":%d,\"hostname\":\"%s\",\"machineId\":\"%s\","
                   "\"bootId\":\"%s\",\"uptimeMs\":%lld,\"init\":\"%s\"}",
                   AGENT_VERSION, PROTOCOL_VERSION, hostname, machine, boot, (long long)now_ms(),
                   init);
  return n > 0 && (size_t)n < size ? (size_t)n : 0;
}
