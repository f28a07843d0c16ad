#pragma once

// Loads the files that /modules/list names, one a line, in that order.
void load_modules(void);
