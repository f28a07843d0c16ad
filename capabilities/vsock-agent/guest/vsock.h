#pragma once

// A listening socket on VSOCK_PORT, or -1 where the guest has no vsock.
int vsock_listen(void);

// Tells the host that somebody listens now. Whether it hears is all the same.
void vsock_announce(void);
