/* Prints the frequency of the host's time stamp counter in kHz.
 *
 * Under TCG the guest's rdtsc is the host's (QEMU, cpu_get_host_ticks). A kernel that is told the
 * frequency (tsc_early_khz=) skips its calibration by the PIT, which sometimes hangs there. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

enum { SAMPLE_NS = 50 * 1000 * 1000 };

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(void)
{
	uint64_t start = now_ns(), ticks = __rdtsc(), end;
	do
		end = now_ns();
	while (end - start < SAMPLE_NS);
	ticks = __rdtsc() - ticks;
	printf("%llu\n", (unsigned long long)(ticks * 1000000u / (end - start)));
	return 0;
}
