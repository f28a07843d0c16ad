#pragma once

#define AGENT_PATH "/run/banger/agent"

// Process 1 of a guest without an init of its own.
_Noreturn void lean_main(void);
