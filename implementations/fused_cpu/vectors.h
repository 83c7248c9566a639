// As many numbers at a time as a vector of the processor holds, in GCC's vector types: loads, stores, exp, sums.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#ifdef __SSE__
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

// `a` where it is larger, else `b`: NaN in `a` is passed over, NaN in `b` stays. GCC makes two instructions of the words.
INLINE floats larger(floats a, floats b) {
#if defined(__AVX512F__)
    return (floats)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (floats)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE__)
    return (floats)_mm_max_ps((__m128)a, (__m128)b);
#else
    return a > b ? a : b;
#endif
}

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

// exp(t) for t ≤ 0 as 2^(t log2 e), relative error below 3 + |t|/4 units of 2⁻²⁴ (3 + |t| without FMA); exp(0) is 1, underflow
// is gradual, NaN stays NaN. The polynomial is (2^f − 1)/f for |f| ≤ ½, of least largest relative error (1.5 units).
INLINE floats exponential(floats t) {
    t = larger(all(-104.0f), t);
#ifdef __AVX512F__
    constexpr float ROUND = 12582912.0f, UNIT = 1.0f;  // 1.5 · 2²³: what is added to it is rounded to an integer
#else
    // 2ⁿ is made of the integer's own bits; with the polynomial in units of 2⁻⁶⁴ it is normal down to n = −150
    constexpr float ROUND = 12582912.0f + 127.0f + 64.0f, UNIT = 0x1p-64f;
#endif
    floats shifted = t * 1.44269504f + ROUND, k = shifted - ROUND, f = t * 1.44269504f - k;
    floats p = f * (UNIT * 0.0013264727f) + UNIT * 0.0096715126f;
    p = p * f + UNIT * 0.055507337f;
    p = p * f + UNIT * 0.24022242f;
    p = p * f + UNIT * 0.69314698f;
    p = p * f + UNIT;
#ifdef __AVX512F__
    return (floats)_mm512_scalef_ps((__m512)p, (__m512)k);
#else
    return p * (floats)((ints)shifted << 23);
#endif
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
    INLINE void store_two(entry *x, floats v, floats w) { store(x, v), store(x + LANES, w); }
};

struct BFloat16 {
    typedef uint16_t entry;
    INLINE floats load(const entry *x) {
#if defined(__AVX2__) && !defined(__AVX512F__)
        // GCC widens two halves and puts them together
        return (floats)((words)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)x)) << 16);
#else
        return (floats)(__builtin_convertvector(*(const halves *)x, words) << 16);
#endif
    }
    INLINE float one(entry x) {
        uint32_t bits = (uint32_t)x << 16;
        float found;
        memcpy(&found, &bits, sizeof found);
        return found;
    }
    INLINE words rounded(floats v) {
        words bits = (words)v;  // to nearest, ties to even
        return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    }
    INLINE void store(entry *x, floats v) {
#ifdef __AVX512BF16__
        // below the least normal number, 1.2e-38, the instruction gives 0
        auto found = _mm512_cvtneps_pbh((__m512)v);
        memcpy(x, &found, sizeof found);
#else
        // the carry of a NaN's bits would make it an infinity
        words nan = (words)(v != v);
        *(halves *)x = __builtin_convertvector((rounded(v) & ~nan) | (nan & 0x7fc0), halves);
#endif
    }
    // beside one another, and without NaN
    INLINE void store_two(entry *x, floats v, floats w) {
#if defined(__AVX512BF16__)
        store(x, v), store(x + LANES, w);
#elif defined(__AVX2__) && !defined(__AVX512F__)
        __m256i packed = _mm256_packus_epi32((__m256i)rounded(v), (__m256i)rounded(w));
        packed = _mm256_permute4x64_epi64(packed, 0xd8);  // packed within each half of the register
        memcpy(x, &packed, sizeof packed);
#else
        *(halves *)x = __builtin_convertvector(rounded(v), halves);
        *(halves *)(x + LANES) = __builtin_convertvector(rounded(w), halves);
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
