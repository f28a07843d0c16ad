#pragma once

// Process 1 of the initrd: disks, seed, network, then the guest's own process 1.
_Noreturn void init_main(void);
