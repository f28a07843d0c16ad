// The kernel's announcements of devices.
#pragma once
#include <stdbool.h>

int uevents_open(void);

// Reads what is there. True where a virtio port came or went, or announcements were lost.
bool uevents_ports_changed(int fd);
