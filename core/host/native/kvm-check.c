/* kvm-check DEVICE
 *
 * Prints `ok` where a VM can be made by DEVICE, which is /dev/kvm; else what failed and its errno, `create 16`. Opening it
 * says little: while another hypervisor has the CPU's virtualization it opens, and KVM_CREATE_VM is what fails. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* Of Linux 2.6.22: "Applications should refuse to run if KVM_GET_API_VERSION returns a value other than 12." */
enum { API_VERSION = 12 };

static int failed(const char *what)
{
	printf("%s %d\n", what, errno);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: kvm-check DEVICE\n");
		return 2;
	}
	int kvm = open(argv[1], O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return failed("open");
	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != API_VERSION)
		return failed("version");
	if (ioctl(kvm, KVM_CREATE_VM, 0) < 0)
		return failed("create");
	puts("ok");
	return 0;
}
