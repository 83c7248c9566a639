// Cross-entropy as an operator of torch with its own gradient: one call from Python, and none on the way back.
#include <sys/mman.h>

#include <ATen/EmptyTensor.h>
#include <ATen/Parallel.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/library.h>

#include "kernel.h"
#include "operator.h"

#define NAMED(text) #text
#define TEXT(name) NAMED(name)
#define OPERATORS(name, library) TORCH_LIBRARY(name, library)
#define OPERATORS_OF(name, key, library) TORCH_LIBRARY_IMPL(name, key, library)

namespace {

using at::Tensor;

// glibc maps every block of at least this size afresh (DEFAULT_MMAP_THRESHOLD_MAX), so each write meets a page fault.
constexpr int64_t MAPPED = 32 << 20;
constexpr uintptr_t HUGE_PAGE = 2 << 20;
// Logits' worth of work for which waking the other threads pays; a row costs as much as some logits more.
constexpr int64_t ONE_THREAD = 1 << 15, ROW = 16;

// A call that the kernel serves.
struct Problem {
    Tensor logits, target, weight;  // `target` int64, `weight` float32 or undefined, both contiguous
    int64_t ignore_index, reduction;
};

// A tensor to be filled, made without asking the dispatcher who makes it: that took a hundredth of a small call.
Tensor fresh(at::IntArrayRef sizes, at::ScalarType dtype) { return at::detail::empty_cpu(sizes, dtype); }

// Fresh memory, which large results ask of Linux in huge pages: one page fault per 2 MiB instead of one per 4 KiB.
Tensor empty_gradient(const Tensor &logits) {
    Tensor found = fresh(logits.sizes(), logits.scalar_type());
    if ((int64_t)found.nbytes() >= MAPPED) {
        // inwards to whole huge pages: the neighbours of this block are not ours to advise on
        uintptr_t start = (uintptr_t)found.mutable_data_ptr(), end = start + found.nbytes();
        start = (start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE, end = end / HUGE_PAGE * HUGE_PAGE;
        madvise((void *)start, end - start, MADV_HUGEPAGE);
    }
    return found;
}

const float *floats_of(const Tensor &tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }

double divisor_of(const Problem &problem) {
    const int64_t *target = problem.target.const_data_ptr<int64_t>(), rows = problem.logits.size(0);
    Targets found = look_at(target, floats_of(problem.weight), rows, problem.logits.size(1), problem.ignore_index);
    TORCH_CHECK_INDEX(found.wrong < 0, "Target ", target[found.wrong], " is out of bounds.");
    return problem.reduction == at::Reduction::Mean ? found.divisor : 1.0;
}

// Runs the kernel; the sum of all losses. `loss` and `gradient` are filled where they are defined.
double run(const Problem &problem, const Tensor &loss, const Tensor &gradient, const Tensor &row_scale, double scale) {
    int64_t rows = problem.logits.size(0), classes = problem.logits.size(1);
    std::vector<double> sums(groups_of(rows, classes));
    Call call = {};
    call.logits = problem.logits.const_data_ptr();
    call.gradient = gradient.defined() ? gradient.mutable_data_ptr() : nullptr;
    call.target = problem.target.const_data_ptr<int64_t>();
    call.weight = floats_of(problem.weight), call.row_scale = floats_of(row_scale);
    call.loss = loss.defined() ? loss.mutable_data_ptr<float>() : nullptr;
    call.sums = sums.data();
    call.rows = rows, call.classes = classes, call.stride = problem.logits.stride(0);
    call.ignore_index = problem.ignore_index, call.scale = scale;
    call.threads = rows * (classes + ROW) <= ONE_THREAD ? 1 : at::get_num_threads();
    call.bfloat16 = problem.logits.scalar_type() == at::kBFloat16;
    cross_entropy_rows(call);
    double total = 0.0;
    for (double sum : sums) total += sum;
    return total;
}

// The loss; with it the gradient for an upstream gradient of 1, where one is asked for and the loss is a scalar.
Tensor losses(const Problem &problem, Tensor *gradient) {
    double divisor = divisor_of(problem);
    auto dtype = problem.logits.scalar_type();
    if (problem.reduction == at::Reduction::None) {
        Tensor found = fresh({problem.logits.size(0)}, at::kFloat);
        run(problem, found, {}, {}, 1.0);
        return found.to(dtype);
    }
    if (gradient) *gradient = empty_gradient(problem.logits);
    double total = run(problem, {}, gradient ? *gradient : Tensor(), {}, 1.0 / divisor) / divisor;
    Tensor found = fresh({}, dtype);
    if (dtype == at::kFloat)
        *found.mutable_data_ptr<float>() = (float)total;
    else
        *found.mutable_data_ptr<at::BFloat16>() = (float)total;
    return found;
}

double number(const Tensor &tensor) {
    return tensor.scalar_type() == at::kFloat ? *tensor.const_data_ptr<float>() : tensor.item<double>();
}

// The gradient from the logits, rounded once whatever the upstream gradient is.
Tensor gradient_of(const Problem &problem, const Tensor &upstream) {
    Tensor gradient = empty_gradient(problem.logits);
    if (problem.reduction == at::Reduction::None)
        run(problem, {}, gradient, upstream.to(at::kFloat).contiguous(), 1.0);
    else
        run(problem, {}, gradient, {}, number(upstream) / divisor_of(problem));
    return gradient;
}

// The gradient through torch's own differentiable operators, for create_graph.
Tensor by_torch(const Problem &problem, const Tensor &upstream) {
    std::optional<Tensor> weight;
    if (problem.weight.defined()) weight = problem.weight;
    Tensor loss = at::cross_entropy_loss(
        problem.logits.to(at::kFloat), problem.target, weight, problem.reduction, problem.ignore_index
    );
    return torch::autograd::grad({loss}, {problem.logits}, {upstream.to(at::kFloat)}, std::nullopt, true)[0];
}

template <typename Signature> c10::TypedOperatorHandle<Signature> handle(const char *name) {
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

using LossSignature = Tensor(const Tensor &, const Tensor &, const std::optional<Tensor> &, int64_t, int64_t);
using GradientSignature =
    Tensor(const Tensor &, const Tensor &, const Tensor &, const std::optional<Tensor> &, int64_t, int64_t);

// The same as operators that tracers see, and run or note down: nothing is read from memory while they do.
Tensor traced_losses(const Problem &p) {
    static const auto op = handle<LossSignature>(TEXT(FUSED_CPU) "::losses");
    return op.call(p.logits, p.target, p.weight, p.ignore_index, p.reduction);
}

Tensor traced_gradient(const Problem &p, const Tensor &upstream) {
    static const auto op = handle<GradientSignature>(TEXT(FUSED_CPU) "::gradient");
    return op.call(upstream, p.logits, p.target, p.weight, p.ignore_index, p.reduction);
}

#include "backward.h"
#include "serves.h"

}  // namespace

Tensor cross_entropy(
    const Tensor &given, const Tensor &target, const std::optional<Tensor> &weight, int64_t ignore_index,
    std::string_view reduction, double label_smoothing
) {
    int64_t reduced = reduction == "mean" ? at::Reduction::Mean : reduction == "sum" ? at::Reduction::Sum : -1;
    if (reduction == "none") reduced = at::Reduction::None;
    if (reduced < 0 || label_smoothing != 0.0 || !serves(given, target, weight)) return {};
    Tensor logits = autocast() ? given.to(at::kFloat) : given;
    Problem problem = {logits, target, {}, ignore_index, reduced};
    if (target.scalar_type() != at::kLong || !target.is_contiguous()) problem.target = target.to(at::kLong).contiguous();
    if (weight) problem.weight = weight->detach().to(at::kFloat).contiguous();
    bool traced = watched(logits) || watched(target) || (weight && watched(*weight)) || c10::impl::dispatch_mode_enabled();
    if (at::GradMode::is_enabled() && logits.requires_grad()) return differentiable(logits, problem, traced);
    at::AutoDispatchBelowADInplaceOrView below;
    return traced ? traced_losses(problem) : losses(problem, nullptr);
}

namespace {

Tensor losses_operator(
    const Tensor &logits, const Tensor &target, const std::optional<Tensor> &weight, int64_t ignore_index,
    int64_t reduction
) {
    return losses({logits, target, weight.value_or(Tensor()), ignore_index, reduction}, nullptr);
}

Tensor gradient_operator(
    const Tensor &upstream, const Tensor &logits, const Tensor &target, const std::optional<Tensor> &weight,
    int64_t ignore_index, int64_t reduction
) {
    return gradient_of({logits, target, weight.value_or(Tensor()), ignore_index, reduction}, upstream);
}

// Their results without numbers, for tracers.
Tensor losses_shape(
    const Tensor &logits, const Tensor &target, const std::optional<Tensor> &, int64_t, int64_t reduction
) {
    if (reduction == at::Reduction::None) return at::empty_symint(target.sym_sizes(), logits.options());
    return at::empty({}, logits.options());
}

Tensor gradient_shape(
    const Tensor &, const Tensor &logits, const Tensor &, const std::optional<Tensor> &, int64_t, int64_t
) {
    return at::empty_symint(logits.sym_sizes(), logits.options());
}

}  // namespace

OPERATORS(FUSED_CPU, library) {
    library.def(
        "cross_entropy(Tensor logits, Tensor target, Tensor? weight, int ignore_index, str reduction, "
        "float label_smoothing) -> Tensor", &cross_entropy
    );
    library.def("losses(Tensor logits, Tensor target, Tensor? weight, int ignore_index, int reduction) -> Tensor");
    library.def(
        "gradient(Tensor upstream, Tensor logits, Tensor target, Tensor? weight, int ignore_index, int reduction) "
        "-> Tensor"
    );
}

OPERATORS_OF(FUSED_CPU, CPU, library) {
    library.impl("losses", &losses_operator);
    library.impl("gradient", &gradient_operator);
}

OPERATORS_OF(FUSED_CPU, Meta, library) {
    library.impl("losses", &losses_shape);
    library.impl("gradient", &gradient_shape);
}
