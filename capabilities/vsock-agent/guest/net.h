#pragma once
#include <stdbool.h>

// `address` is A.B.C.D/N and `gateway` A.B.C.D; either may be empty. Loopback always comes up.
bool set_up_network(const char *address, const char *gateway);
