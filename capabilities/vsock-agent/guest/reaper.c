#include "reaper.h"

#include <signal.h>
#include <string.h>

#include "clock.h"

static void drop(struct reaper *reaper, size_t i) {
  reaper->list[i] = reaper->list[--reaper->count];
}

void reaper_end(struct reaper *reaper, pid_t pid, const uint8_t *id) {
  kill(-pid, SIGHUP);
  kill(-pid, SIGCONT); // a stopped process must run to see the HUP
  if (reaper->count == REAPER_MAX) {
    // The oldest have had their time. Who asked for them sees no CLOSED and gives the stream up.
    if (reaper->list[0].pid > 0) kill(-reaper->list[0].pid, SIGKILL);
    drop(reaper, 0);
  }
  struct ending *ending = &reaper->list[reaper->count++];
  ending->pid = pid;
  ending->deadline = now_ms() + HANGUP_GRACE_MS;
  ending->answer = id != NULL;
  if (id) memcpy(ending->id, id, ID_SIZE);
}

bool reaper_dead(struct reaper *reaper, pid_t pid) {
  for (size_t i = 0; i < reaper->count; i++) {
    if (reaper->list[i].pid != pid) continue;
    kill(-pid, SIGKILL); // the rest of the group; the zombie still holds its number
    reaper->list[i].pid = 0;
    return true;
  }
  return false;
}

int64_t reaper_run(struct reaper *reaper, struct link *link) {
  int64_t next = -1, now = now_ms();
  for (size_t i = 0; i < reaper->count;) {
    struct ending *ending = &reaper->list[i];
    if (ending->pid == 0) {
      bool answers = ending->answer && link->state == LINK_UP;
      // Others may have to be killed meanwhile.
      if (answers && !link_room(link, 1)) {
        i++;
        continue;
      }
      if (answers) link_send(link, ending->id, FRAME_CLOSED, NULL, 0);
      drop(reaper, i);
      continue;
    }
    if (ending->deadline >= 0 && ending->deadline <= now) {
      kill(-ending->pid, SIGKILL);
      ending->deadline = -1;
    }
    if (ending->deadline >= 0 && (next < 0 || ending->deadline < next)) next = ending->deadline;
    i++;
  }
  return next;
}
