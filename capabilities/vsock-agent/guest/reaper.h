// Process groups that were told to end: HUP at once, KILL after a grace or when the leader is dead.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "link.h"

enum { REAPER_MAX = 32, HANGUP_GRACE_MS = 2000 };

struct ending {
  pid_t pid; // 0: dead, its CLOSED not yet sent
  int64_t deadline;
  bool answer; // CLOSED is owed to `id`
  uint8_t id[ID_SIZE];
};

struct reaper {
  struct ending list[REAPER_MAX];
  size_t count;
};

// `id` is NULL where nobody waits for a CLOSED. May be asked again for the same group.
void reaper_end(struct reaper *reaper, pid_t pid, const uint8_t *id);

// The group's leader is a zombie, not yet waited for. False: not one of ours.
bool reaper_dead(struct reaper *reaper, pid_t pid);

// Sends what is owed and kills what is late. Returns the next deadline, or -1.
int64_t reaper_run(struct reaper *reaper, struct link *link);
