/* SHA-256, step by step as FIPS 180-4 has it; the names of the variables are the standard's. */
#include "sha256.h"

#include <stdint.h>
#include <string.h>

enum { BLOCK_BYTES = 64, LENGTH_BYTES = 8, STATE_WORDS = 8, ROUNDS = 64 };

/* 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t K[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* 5.3.3: the same of the square roots of the first eight. */
static const uint32_t H0[STATE_WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t rotr(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static uint32_t load_big_endian(const uint8_t* bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* 6.2.2, step 1: the message schedule. */
static void schedule(const uint8_t* block, uint32_t W[ROUNDS]) {
  for (int t = 0; t < 16; ++t) W[t] = load_big_endian(block + 4 * t);
  for (int t = 16; t < ROUNDS; ++t) {
    uint32_t s0 = rotr(W[t - 15], 7) ^ rotr(W[t - 15], 18) ^ W[t - 15] >> 3;
    uint32_t s1 = rotr(W[t - 2], 17) ^ rotr(W[t - 2], 19) ^ W[t - 2] >> 10;
    W[t] = s1 + W[t - 7] + s0 + W[t - 16];
  }
}

/* 6.2.2, steps 2 to 4: one block. */
static void compress(uint32_t H[STATE_WORDS], const uint8_t* block) {
  uint32_t W[ROUNDS], v[STATE_WORDS]; /* v: a to h */
  schedule(block, W);
  memcpy(v, H, sizeof v);
  for (int t = 0; t < ROUNDS; ++t) {
    uint32_t ch = (v[4] & v[5]) ^ (~v[4] & v[6]);
    uint32_t maj = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
    uint32_t T1 = v[7] + (rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25)) + ch + K[t] + W[t];
    uint32_t T2 = (rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22)) + maj;
    memmove(v + 1, v, 7 * sizeof v[0]);
    v[4] += T1;
    v[0] = T1 + T2;
  }
  for (int i = 0; i < STATE_WORDS; ++i) H[i] += v[i];
}

/* 5.1.1: what is left over, a one bit, zeroes, and the length in bits, as one block or two. */
static size_t pad(uint8_t last[2 * BLOCK_BYTES], const uint8_t* rest, size_t rest_length,
                  uint64_t message_length) {
  size_t bytes = rest_length + 1 + LENGTH_BYTES <= BLOCK_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
  uint64_t bits = message_length * 8;
  memset(last, 0, 2 * BLOCK_BYTES);
  if (rest_length != 0) memcpy(last, rest, rest_length);
  last[rest_length] = 0x80;
  for (size_t i = 1; i <= LENGTH_BYTES; ++i, bits >>= 8) last[bytes - i] = (uint8_t)bits;
  return bytes;
}

static void write_hex(const uint32_t H[STATE_WORDS], char hex[RELAY_SHA256_HEX + 1]) {
  for (int i = 0; i < RELAY_SHA256_HEX; ++i) hex[i] = "0123456789abcdef"[H[i / 8] >> (28 - 4 * (i % 8)) & 15];
  hex[RELAY_SHA256_HEX] = '\0';
}

void relay_sha256(const void* data, size_t length, char hex[RELAY_SHA256_HEX + 1]) {
  const uint8_t* message = data;
  size_t whole = length - length % BLOCK_BYTES;
  uint8_t last[2 * BLOCK_BYTES];
  uint32_t H[STATE_WORDS];
  memcpy(H, H0, sizeof H);
  for (size_t at = 0; at < whole; at += BLOCK_BYTES) compress(H, message + at);
  size_t padded = pad(last, whole == length ? NULL : message + whole, length - whole, length);
  for (size_t at = 0; at < padded; at += BLOCK_BYTES) compress(H, last + at);
  write_hex(H, hex);
}
