// Commands that never run: what start_command, kill, waitid and waitpid do in a target, and how an input makes
// them write, read and end. Nothing of the machine is touched.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COMMANDS_MAX = 64 };

void commands_init(void);

// To the oldest command that runs. `fd`: 1 or 2.
void command_write(int fd, uint8_t byte, size_t size);
void command_read(size_t size);
void command_close(int fd);
void command_end(int status);

// Ends one that runs. False: none does.
bool commands_end_one(void);

// Ends all, and closes what is theirs.
void commands_dispose(void);
