#include "systemd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs.h"
#include "lean.h"

#define UNITS "/run/systemd/system/"
#define UNIT UNITS "banger-agent.service"
#define WANTS UNITS "sysinit.target.wants/banger-agent.service"
// Nobody sits at the console, and in an image without udev its device unit would never appear: the
// boot would take another 90 s.
#define GETTY UNITS "serial-getty@ttyS0.service"

// KillMode=process: commands that run in the guest outlive a restart of the agent. No stop at
// shutdown: it reports to the host until systemd's last round of signals.
static const char unit[] =
    "[Unit]\n"
    "Description=banger agent\n"
    "DefaultDependencies=no\n"
    "StartLimitIntervalSec=0\n"
    "[Service]\n"
    "ExecStart=" AGENT_PATH " agent\n"
    "Restart=always\n"
    "RestartSec=100ms\n"
    "KillMode=process\n"
    "Delegate=yes\n"
    "OOMPolicy=continue\n"
    "TasksMax=infinity\n";

bool write_agent_unit(void) {
  return make_parents(WANTS) && write_atomic(UNIT, unit, sizeof unit - 1, 0644) &&
         (symlink(UNIT, WANTS) == 0 || errno == EEXIST) &&
         (symlink("/dev/null", GETTY) == 0 || errno == EEXIST);
}
