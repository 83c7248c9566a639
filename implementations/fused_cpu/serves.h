// Which calls the kernel serves, told from what tensors say of themselves. Included by operator.cpp.
#pragma once

// Tensors that stand for others: batched, differentiated by functorch, negated lazily, zeros without memory.
bool stands_for_another(const Tensor &tensor) {
    using c10::DispatchKey;
    constexpr c10::DispatchKeySet keys(
        {DispatchKey::FuncTorchBatched, DispatchKey::FuncTorchGradWrapper, DispatchKey::Negative,
         DispatchKey::Conjugate, DispatchKey::ZeroTensor}
    );
    return tensor.key_set().has_any(keys);
}

// Whether somebody follows the tensor by its operators: it may have no numbers to read.
bool watched(const Tensor &tensor) {
    using c10::DispatchKey;
    return tensor.key_set().has_any(c10::DispatchKeySet({DispatchKey::Python, DispatchKey::Functionalize}));
}

bool usable(const Tensor &tensor) {
    return tensor.defined() && tensor.device().is_cpu() && tensor.layout() == at::kStrided &&
           !tensor.unsafeGetTensorImpl()->has_symbolic_sizes_strides() && !stands_for_another(tensor);
}

bool serves_logits(const Tensor &logits) {
    auto dtype = logits.scalar_type();
    return usable(logits) && (dtype == at::kFloat || dtype == at::kBFloat16) && logits.dim() == 2 &&
           logits.numel() > 0 && (logits.stride(1) == 1 || logits.size(1) == 1) && logits.size(1) < INT32_MAX &&
           !logits._fw_grad(0).defined();
}

bool serves_target(const Tensor &target, const Tensor &logits) {
    auto dtype = target.scalar_type();
    return usable(target) && (dtype == at::kLong || dtype == at::kByte) && target.dim() == 1 &&
           target.size(0) == logits.size(0);
}

bool serves_weight(const Tensor &weight, const Tensor &logits) {
    return usable(weight) && weight.is_floating_point() && weight.dim() == 1 && weight.size(0) == logits.size(1) &&
           !(weight.requires_grad() && at::GradMode::is_enabled());
}

bool serves(const Tensor &logits, const Tensor &target, const std::optional<Tensor> &weight) {
    // functorch refuses C++ autograd functions, and has tensors without memory of their own
    bool transformed = c10::impl::tls_is_dispatch_key_included(c10::DispatchKey::FuncTorchDynamicLayerFrontMode);
    return !transformed && serves_logits(logits) && serves_target(target, logits) &&
           (!weight || serves_weight(*weight, logits));
}

// Whether torch.autocast is on: logits are then computed, and the loss returned, in float32.
bool autocast() { return !c10::impl::tls_is_dispatch_key_excluded(c10::DispatchKey::AutocastCPU); }
