/* Spreads numbers evenly. No secret: with a known or no seed, whoever chooses the input chooses the outcome. */
#pragma once

#include <stdint.h>

/* The finalizer of MurmurHash3: each bit of the input moves every bit of the output, and no two inputs have the same
 * one. */
static inline uint64_t hash_mix(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ULL;
    return value ^ value >> 33;
}
