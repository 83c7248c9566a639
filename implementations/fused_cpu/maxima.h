// The largest logit of a run. NaN may be passed over or be the answer: it shows in the exponentials either way.
#pragma once
#include <algorithm>

#include "vectors.h"

// Entries of a cache line.
template <typename Entry> constexpr int64_t LINE = 64 / sizeof(Entry);

// Brings `many` entries nearer: NEARNESS 3 into the first-level cache, 2 into the second.
template <int NEARNESS, typename Entry> INLINE void bring(const Entry *x, int64_t many) {
    for (int64_t at = 0; at < many; at += LINE<Entry>) __builtin_prefetch(x + at, 0, NEARNESS);
}

INLINE float largest_of(const float *x, int64_t count, const float *soon) {
    floats a = all(-INFINITY), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES) {
        bring<3>(soon + i, 4 * LANES);
        a = larger(Float32::load(x + i), a);
        b = larger(Float32::load(x + i + LANES), b);
        c = larger(Float32::load(x + i + 2 * LANES), c);
        d = larger(Float32::load(x + i + 3 * LANES), d);
    }
    for (; i + LANES <= count; i += LANES) a = larger(Float32::load(x + i), a);
    // the last vector may overlap the one before: a maximum does not mind
    if (i < count) b = larger(count >= LANES ? Float32::load(x + count - LANES) : load_some<Float32>(x, count), b);
    return largest(larger(larger(a, b), larger(c, d)));
}

// Bits of bfloat16 as integers in the order of their numbers, and back again.
INLINE shorts in_order(shorts bits) { return bits ^ ((bits >> 15) & 0x7fff); }

INLINE shorts larger(shorts a, shorts b) { return a > b ? a : b; }

// As integers, twice LANES at a time: nothing is widened, and one comparison serves twice as many.
INLINE float largest_of(const uint16_t *x, int64_t count, const uint16_t *soon) {
    constexpr int64_t WIDE = 2 * LANES;
    if (count < LANES) return largest(load_some<BFloat16>(x, count));
    if (count < WIDE) return largest(larger(BFloat16::load(x), BFloat16::load(x + count - LANES)));
    shorts a = in_order(*(const shorts *)(x + count - WIDE)), b = a;
    int64_t i = 0;
    for (; i + 2 * WIDE <= count; i += 2 * WIDE) {
        bring<3>(soon + i, 2 * WIDE);
        a = larger(in_order(*(const shorts *)(x + i)), a);
        b = larger(in_order(*(const shorts *)(x + i + WIDE)), b);
    }
    if (i + WIDE <= count) b = larger(in_order(*(const shorts *)(x + i)), b);
    shorts found = in_order(larger(a, b));
    const uint16_t *bits = (const uint16_t *)&found;
    return largest(larger(BFloat16::load(bits), BFloat16::load(bits + LANES)));
}
