// From the initramfs to the guest's disks.
#pragma once
#include <stdbool.h>

// Mounts /proc, /sys and /dev of the initramfs.
bool mount_initramfs_basics(void);

// Mounts `device` and makes it this process's root. Returns a descriptor of the old root, or -1.
int enter_root(const char *device);

// Mounts what every guest expects, and the work disk at /root where `work` is not empty.
bool mount_guest(const char *work);

// Deletes everything below: the initramfs is memory. Closes `dir`.
void delete_tree(int dir);
