#pragma once
#include <stdbool.h>

// /etc/hosts with `127.0.1.1 NAME`: without it sudo and others wait for a resolver.
bool name_in_hosts(const char *name);
