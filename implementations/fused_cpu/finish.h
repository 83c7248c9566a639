// The end of LANES rows at once, one in each lane: what their maxima and sums give. Included by kernel.cpp.
#pragma once

// Rows read, one in each lane: their targets (any where ignored, and then −1 in `ignored`), maxima, and Σ exp(x − top)
// apart from the target.
struct Rows {
    ints target, ignored;
    floats top, others, x_t;
};

// What exponentials are multiplied with, the gradient of the target itself, and the loss.
struct Finished {
    floats factor, at_target, loss;
};

INLINE Rows begin(const Call &call, int64_t first) {
    Rows rows = {};
    for (int lane = 0; lane < LANES; lane++) rows.target[lane] = (int32_t)call.target[first + lane];
    for (int lane = 0; lane < LANES; lane++) rows.ignored[lane] = counts(call, first + lane) ? 0 : -1;
    return rows;
}

// Weights of the rows' targets; 0 where ignored, whose target may be no class.
INLINE floats weights_of(const Call &call, const Rows &rows) {
    floats found = {};
    for (int lane = 0; lane < LANES; lane++)
        if (!rows.ignored[lane]) found[lane] = call.weight[rows.target[lane]];
    return found;
}

// In double: where p_t is small the target's gradient is −scale, and the budget has no room for several roundings.
INLINE void factors(const Call &call, const Rows &rows, int64_t first, floats p_t, floats weights, Finished &found) {
    floats scales = call.row_scale ? *(const floats *)(call.row_scale + first) : floats{};
    for (int half = 0; half < 2; half++) {
        wide others = __builtin_convertvector(((const narrow *)&rows.others)[half], wide);
        wide total = others + __builtin_convertvector(((const narrow *)&p_t)[half], wide);
        wide scale = call.scale - wide{};
        if (call.row_scale) scale = __builtin_convertvector(((const narrow *)&scales)[half], wide);
        if (call.weight) scale *= __builtin_convertvector(((const narrow *)&weights)[half], wide);
        wide by = scale / total;
        ((narrow *)&found.factor)[half] = __builtin_convertvector(by, narrow);
        ((narrow *)&found.at_target)[half] = __builtin_convertvector(-others * by, narrow);
    }
}

template <bool GRADIENT> INLINE Finished finish(const Call &call, const Rows &rows, int64_t first) {
    Finished found = {};
    floats p_t = exponential(rows.x_t - rows.top), total = rows.others + p_t;
    // with the target on top its exponential is 1, and what that 1 has no digits for keeps those of a loss near 0
    floats low = rows.x_t == rows.top ? rows.others - (total - 1.0f) : floats{};
    found.loss = logarithm(total, low) + (rows.top - rows.x_t);
    floats weights = {};
    if (call.weight) {
        weights = weights_of(call, rows);
        // the loss of a weight of 0 is 0 even where it is infinite
        found.loss = (weights == 0.0f) & (found.loss == INFINITY) ? floats{} : weights * found.loss;
    }
    found.loss = rows.ignored ? floats{} : found.loss;
    if (GRADIENT) factors(call, rows, first, p_t, weights, found);
    return found;
}
