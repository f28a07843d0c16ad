// The text of /proc, as pure functions over buffers: nothing here needs a NUL at the end, and a last line
// without its newline (the file was longer than the buffer) is left out.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct socket_line {
  uint8_t address[16]; // network order; IPv4 in the first four
  uint16_t port;
  uint8_t state; // of include/net/tcp_states.h
  bool local_only; // the other end is of this guest: loopback, or its very own address
  uint64_t inode;
};

enum { SOCKET_ESTABLISHED = 0x01, SOCKET_UNCONNECTED = 0x07, SOCKET_LISTEN = 0x0a };

// The next socket of /proc/net/{tcp,udp}{,6} (`v6`) from `*at` on; lines that make no sense are skipped.
bool next_socket(const char *text, size_t size, size_t *at, bool v6, struct socket_line *out);

struct memory {
  uint64_t total, available, swap_total, swap_free; // bytes
};

// False where /proc/meminfo does not tell what there is.
bool parse_meminfo(const char *text, size_t size, struct memory *out);

// Hundredths: 0.42 is 42.
bool parse_loadavg(const char *text, size_t size, uint32_t out[3]);

struct cpu_ticks {
  uint64_t busy, total; // of all CPUs together, since boot
  uint32_t count;       // CPUs
};

bool parse_cpu(const char *text, size_t size, struct cpu_ticks *out);
