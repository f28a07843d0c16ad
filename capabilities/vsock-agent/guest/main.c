// One static program, three lives: process 1 of the initrd (and then of a lean guest), the agent,
// and a handler for one stream on an open descriptor.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "init.h"
#include "log.h"
#include "serve.h"

int main(int argc, char **argv) {
  if (getpid() == 1) init_main();
  if (argc == 2 && strcmp(argv[1], "agent") == 0) {
    log_to_kernel();
    return agent_main();
  }
  // Not for guests: the host's own tests talk to a handler without a VM.
  if (argc == 4 && strcmp(argv[1], "agent") == 0 && strcmp(argv[2], "--serve-fd") == 0)
    return serve(atoi(argv[3]), STREAM_SOCKET, false, false);
  fprintf(stderr, "usage: agent | agent --serve-fd N\n");
  return 2;
}
