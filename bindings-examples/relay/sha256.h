/* SHA-256 of FIPS 180-4, of data that is in memory as a whole. */
#ifndef RELAY_SHA256_H
#define RELAY_SHA256_H

#include <stddef.h>

enum { RELAY_SHA256_HEX = 64 };

/* Writes the digest as 64 lower-case hexadecimal digits and a NUL. */
void relay_sha256(const void* data, size_t length, char hex[RELAY_SHA256_HEX + 1]);

#endif
