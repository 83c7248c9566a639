// The step in torch's graph that the loss leaves behind. Included by operator.cpp.
//
// A node as torch's own operators have, not a torch::autograd::Function, whose maps and sets took a tenth of a small
// call.
#pragma once

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

struct FusedCrossEntropyBackward : torch::autograd::Node {
    // autograd guards these against change; the logits stand beside the gradient, as a second backward needs them
    SavedVariable logits, target, weight;
    int64_t ignore_index, reduction;
    bool traced;
    Tensor early;  // the gradient made in the forward, for an upstream gradient of 1

    std::string name() const override { return "FusedCrossEntropyBackward"; }

    variable_list apply(variable_list &&upstreams) override {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!upstreams[0].defined()) return {Tensor()};
        Problem problem = {logits.unpack(), target.unpack(), weight.unpack(), ignore_index, reduction};
        return {gradient(problem, upstreams[0])};
    }

    void release_variables() override {
        std::lock_guard<std::mutex> lock(mutex_);
        logits.reset_data(), target.reset_data(), weight.reset_data(), early.reset();
    }

    Tensor gradient(const Problem &problem, const Tensor &upstream) {
        if (at::GradMode::is_enabled()) return by_torch(problem, upstream);
        if (traced) return traced_gradient(problem, upstream);
        // given away, not kept: autograd copies a gradient that somebody else still holds
        Tensor found = std::move(early);
        if (!found.defined()) return gradient_of(problem, upstream);
        double by = number(upstream);
        if (by == 1.0) return found;
        // half precision would be rounded a second time
        return found.scalar_type() == at::kFloat ? found.mul_(by) : gradient_of(problem, upstream);
    }
};

// Later versions of torch count references to nodes within them, earlier ones beside them.
using NodePointer = decltype(torch::autograd::Edge::function);

template <typename Made, typename Pointer> auto made() {
    if constexpr (std::is_same_v<Pointer, std::shared_ptr<torch::autograd::Node>>)
        return std::shared_ptr<Made>(new Made(), [](auto *node) { deleteNode(node); });
    else
        return c10::make_intrusive<Made>();
}

// The loss, with its step in the graph of the logits.
Tensor differentiable(const Tensor &logits, const Problem &problem, bool traced) {
    auto node = made<FusedCrossEntropyBackward, NodePointer>();
    node->set_next_edges(torch::autograd::collect_next_edges(logits));
    node->logits = {logits, false}, node->target = {problem.target, false}, node->weight = {problem.weight, false};
    node->ignore_index = problem.ignore_index, node->reduction = problem.reduction, node->traced = traced;
    at::AutoDispatchBelowADInplaceOrView below;
    bool early = !traced && problem.reduction != at::Reduction::None;
    Tensor found = traced ? traced_losses(problem) : losses(problem, early ? &node->early : nullptr);
    torch::autograd::set_history(found, node);
    return found;
}
