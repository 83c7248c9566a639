// Few classes: sixteen rows side by side, one in each lane, so that no sum crosses lanes. Included by kernel.cpp.
#pragma once

template <typename Type> INLINE void turn(const Call &call, int64_t first, floats *tile) {
    typedef typename Type::entry entry;
    float *flat = (float *)tile;
    const entry *x = (const entry *)call.logits + first * call.stride;
    // sixteen strides a turn: rows as short as these would leave an inner loop over classes no length
    for (int64_t c = 0; c < call.classes; c++)
        for (int lane = 0; lane < LANES; lane++) flat[c * LANES + lane] = Type::one(x[c + lane * call.stride]);
}

template <typename Type> INLINE void turn_back(const Call &call, int64_t first, const floats *tile) {
    typedef typename Type::entry entry;
    const float *flat = (const float *)tile;
    entry *gradient = (entry *)call.gradient + first * call.classes;
    // entries of sixteen rows lie one after another: written as one run of whole vectors
    float run[FEW * LANES];
    for (int64_t c = 0; c < call.classes; c++)
        for (int lane = 0; lane < LANES; lane++) run[lane * call.classes + c] = flat[c * LANES + lane];
    for (int64_t i = 0; i < call.classes * LANES; i += LANES) Type::store(gradient + i, *(floats *)(run + i));
}

// What exponentials are multiplied with, the gradient of the target itself, and the loss.
struct Finished {
    floats factor, at_target, loss;
};

// What the exponentials of the other classes, of the target, and the maxima give.
template <bool GRADIENT>
INLINE Finished finish(const Call &call, int64_t first, floats others, floats at_target, floats top, floats x_t) {
    Finished found = {};
    for (int lane = 0; lane < LANES; lane++) {
        int64_t row = first + lane;
        if (!counts(call, row)) continue;
        double total = (double)others[lane] + (double)at_target[lane];
        float loss = x_t[lane] == top[lane] ? log1pf(others[lane]) : logf((float)total) + (top[lane] - x_t[lane]);
        found.loss[lane] = weighted(call, row, std::isinf(top[lane]) ? NAN : loss);
        if (!GRADIENT) continue;
        double factor = scale_of(call, row) / total;
        found.factor[lane] = (float)factor;
        found.at_target[lane] = (float)(-(double)others[lane] * factor);
    }
    return found;
}

// The losses of sixteen rows; their gradients are written where they are wanted.
template <typename Type, bool GRADIENT> INLINE floats sixteen_rows(const Call &call, int64_t first) {
    floats tile[FEW], top = all(-INFINITY), others = {}, at_target = {}, x_t = {};
    ints target, uncounted;
    for (int lane = 0; lane < LANES; lane++) {
        target[lane] = (int32_t)call.target[first + lane];
        uncounted[lane] = counts(call, first + lane) ? 0 : -1;
    }
    turn<Type>(call, first, tile);
    for (int64_t c = 0; c < call.classes; c++) top = larger(tile[c], top);
    for (int64_t c = 0; c < call.classes; c++) {
        auto here = target == (int32_t)c;
        floats p = exponential(tile[c] - top);
        x_t = here ? tile[c] : x_t;
        at_target = here ? p : at_target;
        others += here ? floats{} : p;
        tile[c] = p;
    }
    Finished finished = finish<GRADIENT>(call, first, others, at_target, top, x_t);
    if (!GRADIENT) return finished.loss;
    for (int64_t c = 0; c < call.classes; c++) {
        floats g = target == (int32_t)c ? finished.at_target : tile[c] * finished.factor;
        tile[c] = uncounted ? floats{} : g;
    }
    turn_back<Type>(call, first, tile);
    return finished.loss;
}
