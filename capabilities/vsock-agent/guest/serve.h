#pragma once
#include <stdbool.h>

enum stream_kind { STREAM_SOCKET, STREAM_SERIAL };

// Serves one stream until it is over; a virtio-serial port is never over. `restarted`: an earlier
// handler of this port has died, and the host is told that what it had begun is lost. `guest`: the
// shutdown method is allowed.
int serve(int fd, enum stream_kind kind, bool restarted, bool guest);
