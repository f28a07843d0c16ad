#pragma once
#include <stdbool.h>
#include <stddef.h>

// The text of a hosts file with NAME for 127.0.1.1 and for nothing else. To be freed; NULL without memory.
char *hosts_with(const char *text, const char *name, size_t *size);

// /etc/hosts with `127.0.1.1 NAME`: without it sudo and others wait for a resolver.
bool name_in_hosts(const char *name);
