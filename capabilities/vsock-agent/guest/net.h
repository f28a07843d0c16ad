#pragma once
#include <netinet/in.h>
#include <stdbool.h>

// A.B.C.D/N, with N from 1 to 32.
bool parse_address(const char *text, struct in_addr *address, struct in_addr *mask);

// `address` is A.B.C.D/N and `gateway` A.B.C.D; either may be empty. Loopback always comes up.
bool set_up_network(const char *address, const char *gateway);
