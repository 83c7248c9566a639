// Rows that end soon: LANES of them are read, finished together, and scaled. Included by kernel.cpp.
#pragma once

// Σ exp(x − top) of a row without its target, and, where `kept` is given, the exponentials themselves.
template <typename Type, bool KEEP> INLINE float sum_row(const Run<Type> &run, float top, int32_t target) {
    ints lanes = numbered();
    floats a = {};
    int64_t i = 0;
    for (; i + LANES <= run.count; i += LANES) {
        fetch<Type, KEEP>(run, i, LANES);
        floats p = exponential(Type::load(run.x + i) - top);
        if (KEEP) *(floats *)(run.kept + i) = p;
        a += lanes == target ? floats{} : p;
        lanes += LANES;
    }
    if (i < run.count) {
        // the last vector overlaps the one before, whose exponentials it stores once more
        int64_t start = run.count - LANES;
        floats p = exponential(Type::load(run.x + start) - top);
        if (KEEP) *(floats *)(run.kept + start) = p;
        lanes += (int32_t)(start - i);
        a += (lanes == target) | (lanes < (int32_t)i) ? floats{} : p;
    }
    return sum(a);
}

// The losses of LANES rows; their gradients are written where they are wanted.
template <typename Type, bool GRADIENT>
INLINE floats short_rows(const Call &call, int64_t first, const Scratch &scratch) {
    typedef typename Type::entry entry;
    Rows rows = begin(call, first);
    entry *gradient = GRADIENT ? (entry *)call.gradient + first * call.classes : nullptr;
    // a float32 gradient holds the exponentials itself
    float *kept = sizeof(entry) == sizeof(float) && GRADIENT ? (float *)gradient : scratch.exponentials;
    for (int lane = 0; lane < LANES; lane++) {
        if (rows.ignored[lane]) continue;
        const entry *x = (const entry *)call.logits + (first + lane) * call.stride;
        // what is read later in this lane is LANES rows on
        const entry *later = x + LANES * call.stride;
        Run<Type> run = {x, x + call.stride, later, kept + lane * call.classes, nullptr, call.classes};
        if (GRADIENT) run.gradient = gradient + lane * call.classes;
        float top = rows.top[lane] = largest_of(run.x, run.count, run.soon);
        rows.x_t[lane] = Type::one(x[rows.target[lane]]);
        rows.others[lane] = sum_row<Type, GRADIENT>(run, top, rows.target[lane]);
    }
    Finished finished = finish<GRADIENT>(call, rows, first);
    for (int lane = 0; GRADIENT && lane < LANES; lane++) {
        entry *row = gradient + lane * call.classes;
        float top = rows.top[lane];
        if (rows.ignored[lane]) {
            memset(row, 0, call.classes * sizeof(entry));
            continue;
        }
        scale_row<Type>(row, kept + lane * call.classes, &top, call.classes, top, finished.factor[lane]);
        store_some<Type>(row + rows.target[lane], 1, all(finished.at_target[lane]));
    }
    return finished.loss;
}
