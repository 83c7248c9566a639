// What entry.cpp asks of operator.cpp.
#pragma once
#include <optional>
#include <string_view>

#include <ATen/core/Tensor.h>

#include "kernel.h"

// The loss, or no tensor at all where the call is not one that the kernel serves.
KERNEL at::Tensor cross_entropy(
    const at::Tensor &given, const at::Tensor &target, const std::optional<at::Tensor> &weight, int64_t ignore_index,
    std::string_view reduction, double label_smoothing
);
