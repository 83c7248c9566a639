// What operator.cpp asks of kernel.cpp, which knows nothing of torch.
#pragma once
#include <cstdint>

// Not seen outside the library: two builds may be loaded at once, and each has its own.
#define KERNEL __attribute__((visibility("hidden")))

struct Call {
    const void *logits;      // (rows, classes), entries of a row beside one another
    void *gradient;          // (rows, classes), contiguous; null where none is wanted
    const int64_t *target;   // (rows,), each `ignore_index` or within [0, classes)
    const float *weight;     // (classes,); null where all are 1
    const float *row_scale;  // (rows,), upstream gradient of each row; null where all are `scale`
    float *loss;             // (rows,); null where only `sums` is wanted
    double *sums;            // (groups_of(rows, classes),), the losses of each group of rows added up
    int64_t rows, classes, stride, ignore_index;
    double scale;
    int32_t threads;
    bool bfloat16;
};

// What index targets are worth before any logit is read.
struct Targets {
    double divisor;  // of a mean: how many count, or the sum of their weights
    int64_t wrong;   // the first row whose target is no class, else −1
};

// Rows go in groups as large as a vector of the processor, long ones by themselves.
KERNEL int64_t groups_of(int64_t rows, int64_t classes);
KERNEL void cross_entropy_rows(const Call &call);
KERNEL Targets look_at(const int64_t *target, const float *weight, int64_t rows, int64_t classes, int64_t ignore_index);
