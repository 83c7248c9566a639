// As many numbers at a time as a vector of the processor holds, in GCC's vector types: loads, stores, exp, sums.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

// Float32 numbers in a vector. Wider ones than the processor has would be taken apart number by number at each comparison.
#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

// aligned as their entries are: rows of an odd number of classes start anywhere; may_alias: they lie on tensors
typedef float floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef int16_t shorts __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
// half the lanes, in float32 and in double
typedef float narrow __attribute__((vector_size(2 * LANES), aligned(4), may_alias));
typedef double wide __attribute__((vector_size(4 * LANES), aligned(8), may_alias));

INLINE floats all(float x) { return x - floats{}; }

// 0, 1, 2, …
INLINE ints numbered() {
    ints found = {};
    for (int lane = 0; lane < LANES; lane++) found[lane] = lane;
    return found;
}

// NaN in `a` is passed over; it shows in the exponentials instead
INLINE floats larger(floats a, floats b) { return a > b ? a : b; }

INLINE floats halves_swapped(floats v, int step) {
    return __builtin_shuffle(v, numbered() ^ step);
}

INLINE float largest(floats v) {
    for (int step = LANES / 2; step; step /= 2) v = larger(v, halves_swapped(v, step));
    return v[0];
}

// as a tree, so that the depth of the sum stays log2(LANES)
INLINE float sum(floats v) {
    for (int step = LANES / 2; step; step /= 2) v += halves_swapped(v, step);
    return v[0];
}

// in double, whose range no sum of float32 leaves
INLINE double wide_sum(floats v) {
    const narrow *part = (const narrow *)&v;
    wide w = __builtin_convertvector(part[0], wide) + __builtin_convertvector(part[1], wide);
    double found = 0.0;
    for (int lane = 0; lane < LANES / 2; lane++) found += w[lane];
    return found;
}

// p · 2ⁿ for n down to −150, by gradual underflow
INLINE floats scaled(floats p, floats k, floats shifted) {
#ifdef __AVX512F__
    (void)shifted;
    return (floats)_mm512_scalef_ps((__m512)p, (__m512)k);
#else
    (void)k;
    ints n = (ints)shifted - 0x4B400000, half = n >> 1;  // two factors: 2⁻¹⁵⁰ is no normal number
    return p * (floats)((half + 127) << 23) * (floats)((n - half + 127) << 23);
#endif
}

// `t`, at least `low`; NaN stays NaN. In GCC's own words AVX-512 takes two instructions, a comparison and a choice.
INLINE floats at_least(float low, floats t) {
#ifdef __AVX512F__
    return (floats)_mm512_max_ps((__m512)all(low), (__m512)t);
#else
    return larger(all(low), t);
#endif
}

// exp(t) for t ≤ 0 as 2^(t log2 e), relative error below 3 + |t|/4 units of 2⁻²⁴ (3 + |t| without FMA); exp(0) is 1, underflow
// is gradual, NaN stays NaN. The polynomial is (2^f − 1)/f for |f| ≤ ½, of least largest relative error (1.5 units).
INLINE floats exponential(floats t) {
    t = at_least(-104.0f, t);
    floats shifted = t * 1.44269504f + 12582912.0f;  // 1.5 · 2²³: rounds to an integer in the low bits
    floats k = shifted - 12582912.0f, f = t * 1.44269504f - k;
    floats p = f * 0.0013264727f + 0.0096715126f;
    p = p * f + 0.055507337f;
    p = p * f + 0.24022242f;
    p = p * f + 0.69314698f;
    return scaled(p * f + 1.0f, k, shifted);
}

// log(u + low) for u ≥ 1 and a `low` that u has no digits for, relative error below 3 units of 2⁻²⁴; NaN stays NaN.
// The polynomial is (log(1 + f) − f + f²/2)/f³ for √½ ≤ 1 + f < √2, of least error relative to the logarithm (0.1 units).
INLINE floats logarithm(floats u, floats low) {
    ints n = ((ints)u - 0x3F3504F3) >> 23;
    floats k = __builtin_convertvector(n, floats), f = (floats)((ints)u - (n << 23)) - 1.0f;
    floats p = f * -0.07634493f + 0.12761575f;
    p = p * f - 0.13160183f;
    p = p * f + 0.14201759f;
    p = p * f - 0.16623357f;
    p = p * f + 0.20001227f;
    p = p * f - 0.2500082f;
    p = p * f + 0.33333331f;
    floats rest = f * f * (p * f - 0.5f) + (k * 1.42860677e-6f + low / u);
    return k * 0.693145752f + (f + rest) + (u - u);
}

// How an entry of a tensor is read and written; arithmetic is float32.
struct Float32 {
    typedef float entry;
    INLINE floats load(const entry *x) { return *(const floats *)x; }
    INLINE float one(entry x) { return x; }
    INLINE void store(entry *x, floats v) { *(floats *)x = v; }
};

struct BFloat16 {
    typedef uint16_t entry;
    INLINE floats load(const entry *x) {
        return (floats)(__builtin_convertvector(*(const halves *)x, words) << 16);
    }
    INLINE float one(entry x) {
        uint32_t bits = (uint32_t)x << 16;
        float found;
        memcpy(&found, &bits, sizeof found);
        return found;
    }
    // to nearest, ties to even
    INLINE void store(entry *x, floats v) {
#ifdef __AVX512BF16__
        // below the least normal number, 1.2e-38, the instruction gives 0
        auto rounded = _mm512_cvtneps_pbh((__m512)v);
        memcpy(x, &rounded, sizeof rounded);
#else
        // the carry of a NaN's bits would make it an infinity
        words bits = (words)v, nan = (words)(v != v);
        words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        *(halves *)x = __builtin_convertvector((rounded & ~nan) | (nan & 0x7fc0), halves);
#endif
    }
};

// fewer than LANES entries; the lanes behind them hold −inf
template <typename Type> INLINE floats load_some(const typename Type::entry *x, int64_t count) {
    float wide[LANES];
    for (int i = 0; i < LANES; i++) wide[i] = i < count ? Type::one(x[i]) : -INFINITY;
    floats found;
    memcpy(&found, wide, sizeof wide);
    return found;
}

template <typename Type> INLINE void store_some(typename Type::entry *x, int64_t count, floats v) {
    typename Type::entry narrow[LANES];
    Type::store(narrow, v);
    memcpy(x, narrow, count * sizeof narrow[0]);
}
