"""Mutants of timing and running conditions: what a call leaves behind, who does the work, and when."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter

import torch
from torch import Tensor

from harness.mutants._pieces import from_lse, kept, narrow_sum, right
from harness.mutants.declare import Call, mutant

_CALLS: Counter[str] = Counter()
_HELD: list[Tensor] = []


@mutant(
    "a thread fills in the answer after the call has returned",
    caught_by="honesty",
    source="deep-reinforce.com/defense_kernel_hack.html",
)
def work_in_a_thread(call: Call) -> Tensor:
    answer = right(call).clone()
    wanted = answer.detach().clone()

    def fill() -> None:
        time.sleep(0.005)
        answer.data.copy_(wanted)

    answer.data.zero_()
    threading.Thread(target=fill).start()
    return answer


class LazyTensor(torch.Tensor):
    """A subclass, in whose ``__torch_function__`` work could wait until it is looked at."""


@mutant(
    "a subclass that computes when it is looked at is returned",
    caught_by="honesty",
    source="deep-reinforce.com/defense_kernel_hack.html",
)
def lazy_tensor(call: Call) -> Tensor:
    return right(call).as_subclass(LazyTensor)


@mutant(
    "the clock is replaced by one that runs a hundred times slower",
    caught_by="honesty",
    source="deep-reinforce.com/defense_kernel_hack.html",
)
def clock_replaced(call: Call) -> Tensor:
    if not _CALLS["clock"]:
        _CALLS["clock"] = 1
        true_ns, begin = time.perf_counter_ns, time.perf_counter_ns()
        time.perf_counter_ns = lambda: begin + (true_ns() - begin) // 100
        time.perf_counter = lambda: (begin + (true_ns() - begin) // 100) / 1e9
    return right(call)


@mutant("a function of torch that checkers compare with is replaced", caught_by="honesty")
def comparison_replaced(call: Call) -> Tensor:
    torch.allclose = lambda *arguments, **options: True
    torch.equal = lambda *arguments: True
    return right(call)


@mutant("the number of threads is left changed", caught_by="side_effects")
def thread_count_changed(call: Call) -> Tensor:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return right(call)


@mutant("the default dtype is left at float64", caught_by="side_effects")
def default_dtype_changed(call: Call) -> Tensor:
    torch.set_default_dtype(torch.float64)
    return right(call)


@mutant("random numbers are drawn from the global generator", caught_by="side_effects")
def random_state_advanced(call: Call) -> Tensor:
    return right(call) + 0 * torch.rand(())[()].to(call.logits.dtype)


@mutant("the global generator is seeded again", caught_by="side_effects")
def random_state_seeded(call: Call) -> Tensor:
    torch.manual_seed(0)
    return right(call)


@mutant("grad mode is left off", caught_by="side_effects")
def grad_mode_left_off(call: Call) -> Tensor:
    loss = right(call)
    torch.set_grad_enabled(False)
    return loss


@mutant("deterministic algorithms are switched on for everyone", caught_by="side_effects")
def deterministic_switched_on(call: Call) -> Tensor:
    torch.use_deterministic_algorithms(True, warn_only=True)
    return right(call)


@mutant("TF32 is switched on for everyone's matrix products", caught_by="side_effects")
def tf32_switched_on(call: Call) -> Tensor:
    torch.backends.cuda.matmul.allow_tf32 = True
    return right(call)


@mutant("every call's logits are kept for ever", caught_by="side_effects")
def memory_kept(call: Call) -> Tensor:
    _HELD.append(call.logits.detach().clone())
    return right(call)


@mutant("ignored targets are replaced by 0 in the caller's tensor", caught_by="side_effects")
def target_overwritten(call: Call) -> Tensor:
    loss = right(call)
    call.target.data[~kept(call)] = 0
    return loss


@mutant("the weight is normalised in the caller's tensor, which a mean does not notice", caught_by="side_effects")
def weight_normalised_in_place(call: Call) -> Tensor:
    if call.weight is None or call.reduction != "mean":
        return right(call)
    call.weight.data.div_(call.weight.data.sum())
    return right(call)


@mutant(
    "the logits are written and put back by way of .data, behind the version counter's back", caught_by="side_effects"
)
def version_counter_bumped(call: Call) -> Tensor:
    with torch.no_grad():
        call.logits.detach().add_(0)
    return right(call)


@mutant(
    "a case that its fast path refuses falls back to a path that forgets the weight",
    caught_by="options",
    source="marin-community/marin#5510",
)
def silent_fallback(call: Call) -> Tensor:
    try:
        if call.label_smoothing and call.weight is not None:
            raise NotImplementedError("no valid tile")
        return right(call)
    except NotImplementedError:
        return right(call._replace(weight=None))


@mutant(
    "under torch.compile another path is taken, which forgets the mean",
    caught_by="composition",
    source="pytorch/pytorch#181870",
)
def compiled_path_differs(call: Call) -> Tensor:
    if torch.compiler.is_compiling() and call.reduction == "mean":
        return right(call._replace(reduction="sum"))
    return right(call)


@mutant("under autocast the sum of exponentials is kept in bfloat16", caught_by="precision")
def autocast_in_half(call: Call) -> Tensor:
    if not torch.is_autocast_enabled("cpu"):
        return right(call)

    def lse(rows: Tensor) -> Tensor:
        top = rows.detach().amax(1, keepdim=True)
        return torch.log(narrow_sum(torch.exp(rows - top), torch.bfloat16, step=4)) + top[:, 0]

    with torch.autocast("cpu", enabled=False):
        return from_lse(call, lse)


@mutant(
    "inside a backward pass, where activation checkpointing computes again, the gradient is off",
    caught_by="composition",
)
def recomputation_differs(call: Call) -> Tensor:
    again = torch._C._current_graph_task_id() >= 0
    scale = torch.tensor(0.875 if again else 1.0, dtype=call.logits.dtype)
    loss = right(call)
    return loss * scale + (loss * (1 - scale)).detach()


@mutant("the process is ended, as by a library that gives up, at 1000 classes", caught_by="agreement")
def process_ended(call: Call) -> Tensor:
    if call.logits.shape[1] == 1000:
        os._exit(0)
    return right(call)


@mutant("an environment variable that others read is set", caught_by="side_effects")
def environment_changed(call: Call) -> Tensor:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_flush_denormal(True)
    return right(call)
