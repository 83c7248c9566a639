// Rows of bfloat16 whose logits lie near their target's, as those of most models do. No maximum is looked for and none
// subtracted, every exponential is a normal number, and neighbours are taken apart, in two instructions where widening
// them and packing them again takes seven. Included by kernel.cpp, for vectors of 8 with FMA.
#pragma once

// How far from the target's logit the others may lie: their exponentials, relative to its own, are then 2⁻⁷⁰ … 2⁷⁰.
constexpr float NEAR = 48.0f;
// Logits in a vector of bfloat16. Where exponentials are kept, the even ones of WIDE neighbours precede the odd ones.
constexpr int64_t WIDE = 2 * LANES;
// From this many classes on: what `powers` loses is then less than the sum of so many float32 may.
constexpr int64_t LEAST = 512;
// After a row that had to be read twice, so many are looked at before they are read.
constexpr int WARY = 8;

typedef uint16_t ushorts __attribute__((vector_size(4 * LANES), aligned(2), may_alias));

// WIDE neighbours in float32.
struct Pair {
    floats even, odd;

    void operator+=(Pair more) { even += more.even, odd += more.odd; }
};

INLINE Pair taken_apart(words x) { return {(floats)(x << 16), (floats)(x & 0xffff0000)}; }

INLINE double total(Pair sums) { return sum(sums.even + sums.odd); }

// 2^(x log2 e − c): the integer of the exponent, in the last 9 bits of `whole`, and what is left of it, plus ROUNDER / 2²³.
struct Exponents {
    Pair whole, rest;
};

// Rounds what is added to it to an integer, and leaves its last 9 bits to that. Of such numbers the one that is nearest
// to 2²³ log2 e.
constexpr float ROUNDER = 12102144.0f;

// With c, the integer that is nearest to x_t log2 e.
INLINE float shift_to(float x_t) { return ROUNDER - std::rint(x_t * 1.44269504f); }

// shift · (1 + 2⁻²³) − whole, which `exponents` adds to x log2 e. Rounded once: the product alone would become an integer
// and lose shift / 2²³. Asked for by name, as GCC would take it, the same for the whole row, out of the loop.
INLINE floats back(float shift, floats whole) {
    return (floats)_mm256_fmsub_ps((__m256)all(shift), (__m256)all(1.00000012f), (__m256)whole);
}

INLINE Exponents exponents(Pair x, float shift) {
    Pair whole = {x.even * 1.44269504f + shift, x.odd * 1.44269504f + shift};
    Pair k = {back(shift, whole.even), back(shift, whole.odd)};
    return {whole, {x.even * 1.44269504f + k.even, x.odd * 1.44269504f + k.odd}};
}

// 280 · 2^(x log2 e − c), the relative error of the polynomial below 53 units of 2⁻²⁴, a thousandth of what the rounding
// to bfloat16 costs. As e^z up to z⁴ is (w⁴ + 6 w² + 8 w + 9) / 24 with w = z + 1, a polynomial in what is left of the
// exponent plus log2 e does without a cube, which saves a sum. The factor makes the leading coefficient 1, which saves a
// product, and is gone from every quotient of two powers; so is what c changes in the last bits of shift / 2²³. Each step
// for both halves: one goes on while the other is waited for.
INLINE Pair powers(const Exponents &of) {
    floats a = of.rest.even, b = of.rest.odd, p = a * a + 12.2862381f, q = b * b + 12.2862381f;
    p = p * a + 24.0196468f, q = q * b + 24.0196468f;
    p = p * a + 38.5729799f, q = q * b + 38.5729799f;
    return {(floats)((ints)p + ((ints)of.whole.even << 23)), (floats)((ints)q + ((ints)of.whole.odd << 23))};
}

// The largest bits that have been read: as signed integers those of the largest number, if any is positive; as unsigned
// ones those of the least, if any is negative. NaN is above either.
struct Bounds {
    shorts above;
    ushorts below;

    void widen(words x) {
        shorts a = (shorts)x;
        ushorts b = (ushorts)x;
        above = a > above ? a : above, below = b > below ? b : below;
    }

    // Whether all of it lies within NEAR of x_t, which itself lies nearer to 0 than that.
    bool near(float x_t) const {
        float most = x_t + NEAR, least = x_t - NEAR;
        uint32_t a, b;
        memcpy(&a, &most, sizeof a), memcpy(&b, &least, sizeof b);
        shorts beyond = (above > (int16_t)(a >> 16)) | (shorts)(below > (uint16_t)(b >> 16));
        return _mm256_testz_si256((__m256i)beyond, (__m256i)beyond);
    }
};

// Consecutive logits, whole vectors of them, and where their powers are kept.
struct Stretch {
    const uint16_t *x;
    const uint16_t *soon;      // those that are read next, as many
    const uint16_t *gradient;  // written when the row is done; null where none is wanted
    float *kept;
    int64_t count;
};

// Keeps the powers of a stretch, and sums them.
INLINE Pair add_powers(const Stretch &of, float shift, Bounds &bounds) {
    Pair sums = {};
    auto begun = [&](int64_t i) {
        words x = *(const words *)(of.x + i);
        bounds.widen(x);
        return exponents(taken_apart(x), shift);
    };
    auto finish = [&](const Exponents &these, int64_t i) {
        Pair p = powers(these);
        sums += p;
        *(Pair *)(of.kept + i) = p;
    };
    // each is begun before the last is finished: a processor does not look ahead as far as the chain of both is long
    Exponents these = begun(0);
    int64_t i = 0;
    for (; i + 2 * WIDE < of.count; i += 2 * WIDE) {
        bring<3>(of.soon + i, 2 * WIDE);
        if (of.gradient) __builtin_prefetch(of.gradient + i, 1);
        Exponents next = begun(i + WIDE);
        finish(these, i);
        these = begun(i + 2 * WIDE);
        finish(next, i + WIDE);
    }
    finish(these, i);
    for (i += WIDE; i < of.count; i += WIDE) finish(begun(i), i);
    return sums;
}

// The same of the last WIDE logits of a row, of which the first `before` have been counted.
INLINE Pair add_last(const uint16_t *x, float *kept, int64_t before, float shift) {
    const ints even = numbered() * 2, odd = even + 1;
    Pair p = powers(exponents(taken_apart(*(const words *)x), shift));
    p.even = even < (int32_t)before ? floats{} : p.even;
    p.odd = odd < (int32_t)before ? floats{} : p.odd;
    *(Pair *)kept = p;
    return p;
}

// Four sums at once, as one of them alone would wait for each addition.
INLINE double kept_sum(const float *kept, int64_t count) {
    Pair sums[4] = {};
    int64_t i = 0;
    for (; i + 4 * WIDE <= count; i += 4 * WIDE)
        for (int k = 0; k < 4; k++) sums[k] += *(const Pair *)(kept + i + k * WIDE);
    for (; i < count; i += WIDE) sums[0] += *(const Pair *)(kept + i);
    sums[0] += sums[1], sums[2] += sums[3], sums[0] += sums[2];
    return total(sums[0]);
}

// Where the power of logit `i` is kept: behind the whole vectors come the row's last WIDE logits.
INLINE int64_t place(int64_t i, int64_t classes) {
    int64_t whole = classes / WIDE * WIDE, start = i < whole ? i / WIDE * WIDE : whole;
    int64_t lane = i < whole ? i % WIDE : i - (classes - WIDE);
    return start + lane % 2 * LANES + lane / 2;
}

// Powers of a row's target and of the others.
struct Powers {
    double own, others;
};

// Reads a row; false where it has to be read again, in the general way. The wary look for that first.
INLINE bool read_near(const Call &call, int64_t row, bool wary, uint16_t *gradient, float *kept, Powers &found) {
    const uint16_t *x = (const uint16_t *)call.logits + row * call.stride;
    int64_t classes = call.classes, whole = classes / WIDE * WIDE, rest = classes - WIDE;
    float x_t = BFloat16::one(x[call.target[row]]), shift = shift_to(x_t);
    Bounds bounds = {};
    bounds.widen(*(const words *)(x + rest));  // first, as vocabularies are padded with −inf
    for (int64_t i = 0; i < whole && wary; i += WIDE) bounds.widen(*(const words *)(x + i));
    if (!(std::fabs(x_t) < NEAR) || !bounds.near(x_t)) return false;
    int64_t at = place(call.target[row], classes), own_block = at / BLOCK * BLOCK;
    double beside = 0.0;
    found.others = 0.0;
    for (int64_t start = 0; start < classes; start += BLOCK) {
        int64_t end = std::min(start + BLOCK, whole);
        Pair sums = {};
        Stretch of = {x + start, ahead(x, row, start + BLOCK, call), gradient, kept + start, end - start};
        if (gradient) of.gradient += start;
        if (start < end) sums += add_powers(of, shift, bounds);
        if (whole < classes && whole < start + BLOCK) sums += add_last(x + rest, kept + whole, whole - rest, shift);
        if (!bounds.near(x_t)) return false;
        (start == own_block ? beside : found.others) += total(sums);
    }
    found.own = kept[at];
    beside -= found.own;
    if (beside < found.own) {
        // a sum that is the target's for the larger part has lost digits of the others
        kept[at] = 0.0f;
        int64_t end = whole < classes ? whole + WIDE : whole;
        beside = kept_sum(kept + own_block, std::min(end - own_block, BLOCK));
    }
    found.others += beside;
    return true;
}

// p · by to the nearest bfloat16, of two that are as near the larger one.
INLINE words rounded_products(Pair p, float by) {
    words even = (words)(p.even * by) + 0x8000, odd = (words)(p.odd * by) + 0x8000;
    return (words)_mm256_blend_epi16((__m256i)(even >> 16), (__m256i)odd, 0b10101010);
}

// The powers of a row turned into gradients.
INLINE void scale_near(uint16_t *gradient, const float *kept, int64_t classes, float by) {
    int64_t whole = classes / WIDE * WIDE;
    // first, as those counted before were kept as 0 here, and are written over
    if (whole < classes) *(words *)(gradient + classes - WIDE) = rounded_products(*(const Pair *)(kept + whole), by);
    for (int64_t i = 0; i < whole; i += WIDE)
        *(words *)(gradient + i) = rounded_products(*(const Pair *)(kept + i), by);
}

// Σ exp(x − x_t) of a row without its target, whose gradient is written where it is wanted; false as above.
template <bool GRADIENT>
INLINE bool near_row(const Call &call, int64_t row, bool wary, float *kept, float &others) {
    uint16_t *gradient = GRADIENT ? (uint16_t *)call.gradient + row * call.classes : nullptr;
    Powers found;
    if (call.classes < LEAST || !read_near(call, row, wary, gradient, kept, found)) return false;
    others = (float)(found.others / found.own);
    if (!GRADIENT) return true;
    double scale = scale_of(call, row), by = scale / (found.own + found.others);
    // else products may leave the range of normal numbers
    if (!(std::fabs(by) > 0x1p-60 && std::fabs(scale) < 0x1p90)) return false;
    scale_near(gradient, kept, call.classes, (float)by);
    store_some<BFloat16>(gradient + call.target[row], 1, all((float)(-found.others * by)));
    return true;
}

// The losses of up to LANES rows; their gradients are written where they are wanted.
template <bool GRADIENT>
INLINE floats near_rows(const Call &call, int64_t first, int64_t rows, Scratch &scratch) {
    floats others = {}, far = {};
    ints is_near = {};
    for (int64_t i = 0; i < rows; i++) {
        float sum = 0.0f;
        bool counted = counts(call, first + i);
        bool near = counted && near_row<GRADIENT>(call, first + i, scratch.wary, scratch.exponentials, sum);
        is_near[i] = -near, others[i] = sum;
        if (counted) scratch.wary = near ? std::max(scratch.wary - 1, 0) : WARY;
        if (!near) far[i] = one_row<BFloat16, GRADIENT>(call, first + i, scratch);
    }
    floats total = others + 1.0f, losses = logarithm(total, others - (total - 1.0f));
    for (int64_t i = 0; i < rows; i++)
        if (is_near[i]) losses[i] = weighted(call, first + i, losses[i]);
    return is_near ? losses : far;
}
