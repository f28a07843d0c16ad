// Ending the guest.
#pragma once
#include <stdbool.h>

// The initrd's init writes here what it started: `lean`, or the path of the image's own init.
#define INIT_MARK "/run/banger/init"

bool is_guest(void);

// Asks whatever is process 1 to end the guest in order.
void request_shutdown(void);

// Stops every process, syncs, unmounts, resets. As process 1, or where process 1 cannot be asked.
_Noreturn void power_down(void);

// Resets at once. QEMU runs with -no-reboot and Firecracker exits on a reset, so both end here.
_Noreturn void reset(void);
