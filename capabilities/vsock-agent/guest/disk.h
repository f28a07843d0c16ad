#pragma once
#include <stdbool.h>
#include <stddef.h>

// `/dev/NAME` or `serial=NAME`: waits until the device is there. False past the deadline.
bool find_disk(const char *spec, char *device, size_t size);
