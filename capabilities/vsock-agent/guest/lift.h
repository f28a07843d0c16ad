// A work disk whose content is one level too deep.
#pragma once
#include <stdbool.h>

// Where `path` holds nothing but a folder `root`, what is in that one moves up. Goes on with a lift that was cut off.
bool lift_nested(const char *path);
