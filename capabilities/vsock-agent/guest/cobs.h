// Consistent Overhead Byte Stuffing (Cheshire & Baker, 1999): no zero byte in the encoded form.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// `out` holds at least n + n / 254 + 1 bytes. Returns the encoded length, without the ending zero.
size_t cobs_encode(const uint8_t *in, size_t n, uint8_t *out);

// In place. Returns the decoded length, or -1 where a run reaches beyond the end.
ssize_t cobs_decode(uint8_t *buf, size_t n);
