// virtio-serial ports by name. Without udev there is no /dev/virtio-ports.
#pragma once
#include <stddef.h>

enum { PORTS_MAX = 32 };

struct port {
  char device[64]; // /dev/vportXpY
};

// Those named org.banger.agent.N. Returns how many.
size_t find_ports(struct port *ports, size_t max);
