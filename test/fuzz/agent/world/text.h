// An input as a C string of exactly its size, so that ASan sees each byte read beyond it.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Up to its first zero byte. To be freed.
char *text_of(const uint8_t *data, size_t size);
