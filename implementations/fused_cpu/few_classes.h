// Few classes: rows side by side, one in each lane, so that no sum crosses lanes. Included by kernel.cpp.
#pragma once

template <typename Type> INLINE void turn(const Call &call, int64_t first, floats *tile) {
    typedef typename Type::entry entry;
    float *flat = (float *)tile;
    const entry *x = (const entry *)call.logits + first * call.stride;
    // as many strides a turn as lanes: rows as short as these would leave an inner loop over classes no length
    for (int64_t c = 0; c < call.classes; c++)
        for (int lane = 0; lane < LANES; lane++) flat[c * LANES + lane] = Type::one(x[c + lane * call.stride]);
}

template <typename Type> INLINE void turn_back(const Call &call, int64_t first, const floats *tile) {
    typedef typename Type::entry entry;
    const float *flat = (const float *)tile;
    entry *gradient = (entry *)call.gradient + first * call.classes;
    // entries of these rows lie one after another: written as one run of whole vectors
    float run[FEW * LANES];
    for (int64_t c = 0; c < call.classes; c++)
        for (int lane = 0; lane < LANES; lane++) run[lane * call.classes + c] = flat[c * LANES + lane];
    for (int64_t i = 0; i < call.classes * LANES; i += LANES) Type::store(gradient + i, *(floats *)(run + i));
}

// The losses of LANES rows; their gradients are written where they are wanted.
template <typename Type, bool GRADIENT> INLINE floats few_classes(const Call &call, int64_t first) {
    Rows rows = begin(call, first);
    const typename Type::entry *x = (const typename Type::entry *)call.logits + first * call.stride;
    for (int lane = 0; lane < LANES; lane++)
        rows.x_t[lane] = rows.ignored[lane] ? 0.0f : Type::one(x[lane * call.stride + rows.target[lane]]);
    floats tile[FEW];
    turn<Type>(call, first, tile);
    rows.top = all(-INFINITY);
    for (int64_t c = 0; c < call.classes; c++) rows.top = larger(tile[c], rows.top);
    for (int64_t c = 0; c < call.classes; c++) {
        tile[c] = exponential(tile[c] - rows.top);
        rows.others += rows.target == (int32_t)c ? floats{} : tile[c];
    }
    Finished finished = finish<GRADIENT>(call, rows, first);
    if (!GRADIENT) return finished.loss;
    for (int64_t c = 0; c < call.classes; c++) {
        floats g = rows.target == (int32_t)c ? finished.at_target : tile[c] * finished.factor;
        tile[c] = rows.ignored ? floats{} : g;
    }
    turn_back<Type>(call, first, tile);
    return finished.loss;
}
