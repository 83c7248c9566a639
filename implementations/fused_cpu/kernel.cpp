// Cross-entropy of rows with index targets: each logit is read from memory once, each gradient written once.
#include <algorithm>
#include <cstdlib>
#include <type_traits>

#include "kernel.h"
#include "maxima.h"
#include "shares.h"
#include "vectors.h"

// Logits between two looks at the running maximum: 8 KiB of float32, read again from the nearest cache.
constexpr int64_t BLOCK = 2048;
// Up to this many classes, lanes hold rows; above, classes of one row.
constexpr int64_t FEW = 32;
// Up to this many, LANES rows are finished together: their exponentials stay in the nearest cache meanwhile.
constexpr int64_t SHORT = 256;
// From this many on a row is a group of its own: threads divide few rows more evenly.
constexpr int64_t LONG = 4096;
// Logits for which it pays to ask whether there is more to do.
constexpr int64_t CHUNK = 1 << 12;

struct Scratch {
    float *exponentials;  // of a row, or LANES short ones, in whole vectors, where the gradient cannot hold them
    float *maxima;        // of each block
    int wary;             // how many of the next rows are looked at before they are read, as those before were far
};

// Whether the row's target counts.
INLINE bool counts(const Call &call, int64_t row) { return call.target[row] != call.ignore_index; }

// What a row's loss and gradient are multiplied with; the loss of a weight of 0 is 0 even where it is infinite.
INLINE float weighted(const Call &call, int64_t row, float loss) {
    if (!call.weight) return loss;
    float weight = call.weight[call.target[row]];
    return weight == 0.0f && std::isinf(loss) ? 0.0f : weight * loss;
}

// In double: where p_t is small the target's gradient is −scale, and the budget has no room for several roundings.
INLINE double scale_of(const Call &call, int64_t row) {
    double scale = call.row_scale ? call.row_scale[row] : call.scale;
    return call.weight ? scale * call.weight[call.target[row]] : scale;
}

// Consecutive logits of a row, and where they go.
template <typename Type> struct Run {
    typedef typename Type::entry entry;
    const entry *x;      // the logits
    const entry *soon;   // those that are read next, as many
    const entry *later;  // and those after them
    float *kept;         // their exponentials, where they are kept
    entry *gradient;     // written when the row is done; null where none is wanted
    int64_t count;

    Run from(int64_t first, int64_t many) const {
        return {x + first, soon + first, later + first, kept + first, gradient ? gradient + first : nullptr, many};
    }
};

// Has memory work while arithmetic goes on, where it would stand idle and then be waited for: on `many` logits of what
// is read after the next, into the second-level cache, and on where the gradients of these will be written. From there
// the next ones are fetched while the maximum is looked for.
template <typename Type, bool KEEP> INLINE void fetch(const Run<Type> &run, int64_t i, int64_t many) {
    bring<2>(run.later + i, many);
    // a float32 gradient holds the exponentials, and is being written anyway
    if (KEEP && sizeof(typename Type::entry) < sizeof(float)) __builtin_prefetch(run.gradient + i, 1);
}

// Σ exp(x − top) over whole vectors, and, where they are kept, the exponentials themselves.
template <typename Type, bool KEEP>
INLINE void add_exponentials(const Run<Type> &run, float top, floats &a, floats &b) {
    int64_t i = 0;
    for (; i + 2 * LANES <= run.count; i += 2 * LANES) {
        fetch<Type, KEEP>(run, i, 2 * LANES);
        floats p = exponential(Type::load(run.x + i) - top), q = exponential(Type::load(run.x + i + LANES) - top);
        a += p;
        b += q;
        if (KEEP) *(floats *)(run.kept + i) = p, *(floats *)(run.kept + i + LANES) = q;
    }
    for (; i < run.count; i += LANES) {
        floats p = exponential(Type::load(run.x + i) - top);
        a += p;
        if (KEEP) *(floats *)(run.kept + i) = p;
    }
}

// One vector of which lanes before `first` count elsewhere, and lane `target` goes into `found`, not into the sum.
template <typename Type, bool KEEP>
INLINE void add_apart(const Run<Type> &run, float top, int first, int64_t target, floats &a, float &found) {
    const ints lanes = numbered();
    floats v = run.count >= LANES ? Type::load(run.x) : load_some<Type>(run.x, run.count);
    floats p = exponential(v - top);
    if (KEEP && run.count >= LANES) *(floats *)run.kept = p;
    if (KEEP && run.count < LANES) memcpy(run.kept, &p, run.count * sizeof(float));
    p = lanes < first ? floats{} : p;
    if (target >= first && target < LANES) {
        found = p[target];
        p = lanes == (int32_t)target ? floats{} : p;
    }
    a += p;
}

// Σ exp(x − top) of a block without its target, which goes into `found`.
template <typename Type, bool KEEP>
INLINE float sum_block(const Run<Type> &run, float top, int64_t target, float &found) {
    floats a = {}, b = {};
    int64_t whole = run.count / LANES * LANES, at = target >= 0 && target < whole ? target / LANES * LANES : whole;
    add_exponentials<Type, KEEP>(run.from(0, at), top, a, b);
    if (at < whole) {
        int64_t next = at + LANES;
        add_apart<Type, KEEP>(run.from(at, LANES), top, 0, target - at, a, found);
        add_exponentials<Type, KEEP>(run.from(next, whole - next), top, a, b);
    }
    if (whole < run.count) {
        // the last vector overlaps the one before, whose exponentials it finds, and stores, once more
        int64_t start = std::max<int64_t>(run.count - LANES, 0);
        Run<Type> rest = run.from(start, run.count - start);
        add_apart<Type, KEEP>(rest, top, (int)(whole - start), target - start, b, found);
    }
    return sum(a + b);
}

// The exponentials of a row, each block's shifted by its own maximum, turned into gradients.
template <typename Type>
INLINE void scale_row(
    typename Type::entry *gradient, const float *kept, const float *maxima, int64_t classes, float top, float factor
) {
    for (int64_t start = 0; start < classes; start += BLOCK) {
        float lower = maxima[start / BLOCK];
        float by = lower == top ? factor : factor * expf(lower - top);
        int64_t i = start, end = std::min(start + BLOCK, classes), last = std::max(end - LANES, start);
        floats behind = {};  // the last vector, taken before scaling in place reaches what it overlaps
        memcpy(&behind, kept + last, std::min<int64_t>(end - last, LANES) * sizeof(float));
        if (std::isfinite(by))  // else there may be NaN among them
            for (; i + 2 * LANES <= end; i += 2 * LANES)
                Type::store_two(gradient + i, *(const floats *)(kept + i) * by, *(const floats *)(kept + i + LANES) * by);
        for (; i + LANES <= end; i += LANES) Type::store(gradient + i, *(const floats *)(kept + i) * by);
        if (i < end && end - last == LANES) Type::store(gradient + last, behind * by);
        if (i < end && end - last < LANES) store_some<Type>(gradient + last, end - last, behind * by);
    }
}

// A row as far as it has been read: its maximum, and Σ exp(x − top) of the target and of the others.
struct Sums {
    float top, at_target;
    double others;
};

// One more block. Exponentials that are kept are shifted by the block's own maximum, which is kept too.
template <typename Type, bool KEEP>
INLINE void add_block(Sums &sums, const Run<Type> &run, float &kept_top, int64_t target) {
    float block_top = largest_of(run.x, run.count, run.soon), found = 0.0f;
    // a block of −inf alone: exp(−inf − 0) is 0, exp(−inf − −inf) would be NaN
    bool empty = block_top == -INFINITY;
    double part = sum_block<Type, KEEP>(run, empty ? 0.0f : block_top, target, found);
    kept_top = empty ? sums.top : block_top;
    if (block_top > sums.top) {
        float down = expf(sums.top - block_top);
        sums.others *= down, sums.at_target *= down, sums.top = block_top;
    } else if (block_top < sums.top && !empty) {
        float down = expf(block_top - sums.top);
        part *= down, found *= down;
    }
    sums.others += part;
    if (target >= 0 && target < run.count) sums.at_target = found;
}

// Block `start` of the row at `x`; behind its last come those of the next rows, as far as there are any.
template <typename Entry>
INLINE const Entry *ahead(const Entry *x, int64_t row, int64_t start, const Call &call) {
    for (; start >= call.classes && row + 1 < call.rows; row++, x += call.stride)
        start -= (call.classes + BLOCK - 1) / BLOCK * BLOCK;
    return start < call.classes ? x + start : x;
}

// The loss of a row; its gradient is written where one is wanted.
template <typename Type, bool GRADIENT> INLINE float one_row(const Call &call, int64_t row, const Scratch &scratch) {
    typedef typename Type::entry entry;
    const entry *x = (const entry *)call.logits + row * call.stride;
    entry *gradient = GRADIENT ? (entry *)call.gradient + row * call.classes : nullptr;
    int64_t target = call.target[row];
    if (!counts(call, row)) {
        if (GRADIENT) memset(gradient, 0, call.classes * sizeof(entry));
        return 0.0f;
    }
    // a float32 gradient holds the exponentials itself
    float *kept = sizeof(entry) == sizeof(float) && GRADIENT ? (float *)gradient : scratch.exponentials;
    Sums sums = {-INFINITY, 0.0f, 0.0};
    for (int64_t start = 0; start < call.classes; start += BLOCK) {
        int64_t count = std::min(BLOCK, call.classes - start);
        const entry *soon = ahead(x, row, start + BLOCK, call), *later = ahead(x, row, start + 2 * BLOCK, call);
        Run<Type> run = {x + start, soon, later, kept + start, gradient + start, count};
        add_block<Type, GRADIENT>(sums, run, scratch.maxima[start / BLOCK], target - start);
    }
    double total = sums.others + (double)sums.at_target;
    float x_t = Type::one(x[target]), top = sums.top;
    // with the target on top its exponential is 1, and log1p keeps the digits of a loss near 0
    float loss = x_t == top ? log1pf((float)sums.others) : logf((float)total) + (top - x_t);
    loss = weighted(call, row, std::isinf(top) ? NAN : loss);
    if (!GRADIENT) return loss;
    double scale = scale_of(call, row);
    scale_row<Type>(gradient, kept, scratch.maxima, call.classes, top, (float)(scale / total));
    store_some<Type>(gradient + target, 1, all((float)(-sums.others / total * scale)));
    return loss;
}

#include "finish.h"

#include "few_classes.h"
#include "short_rows.h"

// Not with AVX-512, whose own instructions for bfloat16 take its place, and where it has not been measured.
#if defined(__AVX2__) && defined(__FMA__) && !defined(__AVX512F__)
#define NEAR_ROWS
#include "near_rows.h"
#endif

// The losses of up to LANES rows of many classes; their gradients are written where they are wanted.
template <typename Type, bool GRADIENT>
INLINE floats long_rows(const Call &call, int64_t first, int64_t rows, Scratch &scratch) {
#ifdef NEAR_ROWS
    if constexpr (std::is_same_v<Type, BFloat16>) return near_rows<GRADIENT>(call, first, rows, scratch);
#endif
    floats losses = {};
    for (int64_t i = 0; i < rows; i++) losses[i] = one_row<Type, GRADIENT>(call, first + i, scratch);
    return losses;
}

static int64_t height_of(int64_t classes) { return classes < LONG ? LANES : 1; }

int64_t groups_of(int64_t rows, int64_t classes) { return (rows + height_of(classes) - 1) / height_of(classes); }

// One group of rows.
template <typename Type, bool GRADIENT> INLINE void one_group(const Call &call, int64_t group, Scratch &scratch) {
    int64_t height = height_of(call.classes), row = group * height, rows = std::min(height, call.rows - row);
    floats losses = {};
    if (call.classes <= FEW && rows == LANES)
        losses = few_classes<Type, GRADIENT>(call, row);
    else if (call.classes <= SHORT && rows == LANES)
        losses = short_rows<Type, GRADIENT>(call, row, scratch);
    else
        losses = long_rows<Type, GRADIENT>(call, row, rows, scratch);
    if (call.loss) memcpy(call.loss + row, &losses, rows * sizeof(float));
    call.sums[group] = wide_sum(losses);
}

// What one thread does.
template <typename Type, bool GRADIENT> static void some_groups(const Call &call, Shares &shares, int64_t thread) {
    // room for whole vectors, and two more that overlap the last ones
    int64_t vectors = (call.classes / LANES + 3) * LANES, blocks = call.classes / BLOCK + 1;
    if (call.classes <= SHORT) vectors *= LANES;
    // a page more than asked: rows of 2ⁿ bytes would share cache sets with the logits
    float *memory = (float *)malloc((vectors + blocks + 1024) * sizeof(float));
    Scratch scratch = {memory, memory + vectors, 0};
    shares.work(thread, [&](Groups these) {
        for (int64_t group = these.first; group < these.last; group++)
            one_group<Type, GRADIENT>(call, group, scratch);
    });
    free(memory);
}

template <typename Type, bool GRADIENT> static void all_groups(const Call &call) {
    int64_t least = CHUNK / (height_of(call.classes) * call.classes) + 1;
    Shares shares(groups_of(call.rows, call.classes), call.threads, least);
    if (call.threads < 2) return some_groups<Type, GRADIENT>(call, shares, 0);
#pragma omp parallel for num_threads(call.threads) schedule(static)
    for (int64_t thread = 0; thread < call.threads; thread++) some_groups<Type, GRADIENT>(call, shares, thread);
}

void cross_entropy_rows(const Call &call) {
    if (call.bfloat16)
        call.gradient ? all_groups<BFloat16, true>(call) : all_groups<BFloat16, false>(call);
    else
        call.gradient ? all_groups<Float32, true>(call) : all_groups<Float32, false>(call);
}

Targets look_at(const int64_t *target, const float *weight, int64_t rows, int64_t classes, int64_t ignore_index) {
    int64_t amiss = 0, ignored = 0;
    for (int64_t row = 0; row < rows; row++) {
        bool none = target[row] == ignore_index;
        amiss |= ((uint64_t)target[row] >= (uint64_t)classes) & !none;
        ignored += none;
    }
    if (amiss)
        for (int64_t row = 0; row < rows; row++)
            if (target[row] != ignore_index && (uint64_t)target[row] >= (uint64_t)classes) return {0.0, row};
    if (!weight) return {(double)(rows - ignored), -1};
    double total = 0.0;
    for (int64_t row = 0; row < rows; row++) total += target[row] == ignore_index ? 0.0f : weight[target[row]];
    return {total, -1};
}
