#pragma once
#include <stdbool.h>

// Has the image's own init start the agent, where that init is systemd.
bool write_agent_unit(void);
