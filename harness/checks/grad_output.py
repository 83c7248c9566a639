"""``grad_output``: whatever gradient arrives from above, in any strides, once or twice, those below are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from harness.checks.evidence import Answer, Evidence
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.checks.required import required_gradients
from harness.checks.second_order import second_order
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of
from harness.numerics.same import same_values


def grad_output(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the cell's own gradient, then one for each kind of upstream gradient and of repeated backward."""
    probe = Probe(evidence=evidence, check="grad_output")
    plain = probe.plain()
    yield plain
    if plain.status is Status.FAILED:
        return
    family = family_of(evidence.case.loss)
    if evidence.case.target_kind == "index" or not family.has_classes:
        for name, upstream in upstreams(evidence.inputs.grad_output, evidence.case.seed):
            yield probe.called(name, evidence.case, replace(evidence.inputs, grad_output=upstream))
        yield _twice(probe)
        if evidence.inputs.target is not None:
            yield from _shared_logits(probe)
        yield from _interleaved(probe)
        yield from second_order(probe)
    yield from required_gradients(probe)


def upstreams(like: torch.Tensor, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Upstream gradients shaped and typed as ``like``, by name."""
    # 2^16 is a loss scaler's usual start; float16 ends at 65504
    for name, value in (
        ("zero", 0.0),
        ("negative", -2.5),
        ("scaled", 2.0 ** (15 if like.dtype == torch.float16 else 16)),
    ):
        yield name, torch.full_like(like, value)
    if not like.ndim:
        return
    generator = torch.Generator().manual_seed(seed + 1)
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    drawn.view(-1)[0] = 0.0
    # float32 on the way: torch rounds float64 to the halves by way of it on some devices only
    random = drawn.to(torch.float32).to(like.dtype).to(like.device)
    yield "random", random
    # whether it is all 1 cannot be told from one entry, and no entry but the first and the last is 1 here
    yield "one_at_the_ends", _one_at_the_ends(random)
    yield "expanded", random.new_full((), -1.5).expand(like.shape)
    yield "sliced", _sliced(random)
    if like.ndim > 1:
        yield "transposed", random.transpose(0, 1).contiguous().transpose(0, 1)
        yield "expanded_rows", random[:1].expand(like.shape)


def _one_at_the_ends(values: torch.Tensor) -> torch.Tensor:
    ends = values.clone()
    ends.view(-1)[:1] = ends.view(-1)[-1:] = 1.0
    return ends


def _sliced(values: torch.Tensor) -> torch.Tensor:
    """``values`` as every second entry of the first dimension, one element into its storage; NaN in between."""
    storage = values.new_full((1 + 2 * values.numel(),), float("nan"))
    strides = [stride * 2 for stride in values.stride()]
    view = storage.as_strided(values.shape, strides, 1)
    view.copy_(values)
    return view


def _twice(probe: Probe) -> Verdict:
    """Backward twice through one graph with different upstream gradients; the first result must stay as it was."""
    case, inputs = probe.evidence.case, probe.evidence.inputs
    first, second = (replace(inputs, grad_output=torch.full_like(inputs.grad_output, g)) for g in (-2.0, 3.0))

    def run() -> tuple[Answer, Answer, torch.Tensor]:
        logits = leaf(inputs.logits)
        loss = probe.evidence.function(case, inputs)(logits, inputs.target)
        one = gradients_of(loss, {"logits": logits}, first.grad_output, retain_graph=True)
        kept = one.gradients["logits"].clone()
        return one, gradients_of(loss, {"logits": logits}, second.grad_output), kept

    found = attempt(run)
    if not isinstance(found, tuple):
        return probe.unsupported("twice", f"a second backward through one graph (retain_graph) raises {found.reason}")
    one, two, kept = found
    if not same_values(one.gradients["logits"], kept):
        return probe.failed(
            "twice", "the second backward changed the gradient that the first one had returned", "gradient"
        )
    verdict = probe.answered("twice", case, second, two)
    return verdict if verdict.status is Status.FAILED else probe.answered("twice", case, first, one)


def _shared_logits(probe: Probe) -> Iterator[Verdict]:
    """Two losses on the same logits, both forwards first, then each one's backward, the later loss's first."""
    inputs = probe.evidence.inputs
    one = replace(inputs, grad_output=torch.full_like(inputs.grad_output, 2.0))
    two = replace(inputs, target=inputs.target.roll(1, 0), grad_output=torch.full_like(inputs.grad_output, -0.5))
    logits = leaf(inputs.logits)
    yield from _both_forwards_first(probe, "shared_logits", (one, logits), (two, logits))


def _interleaved(probe: Probe) -> Iterator[Verdict]:
    """Two losses on logits of their own: what the first forward kept for its backward must outlive the second."""
    inputs = probe.evidence.inputs
    other = replace(inputs, logits=inputs.logits.flip(0) * 0.5)
    yield from _both_forwards_first(
        probe, "interleaved", (inputs, leaf(inputs.logits)), (other, leaf(other.logits))
    )  # fmt: skip


Asked = tuple[Inputs, torch.Tensor]


def _both_forwards_first(probe: Probe, variant: str, one: Asked, two: Asked) -> Iterator[Verdict]:
    """The verdict on two losses whose forwards come first, then each one's backward, the later loss's first."""
    case = probe.evidence.case

    def run() -> tuple[Answer, Answer]:
        function = probe.evidence.function(case, one[0])
        losses = [function(logits, inputs.target) for inputs, logits in (one, two)]
        later = gradients_of(losses[1], {"logits": two[1]}, two[0].grad_output)
        return gradients_of(losses[0], {"logits": one[1]}, one[0].grad_output), later

    found = attempt(run)
    if not isinstance(found, tuple):
        yield probe.refused(variant, found)
        return
    earlier, later = found
    verdict = probe.answered(variant, case, one[0], earlier)
    yield verdict if verdict.status is not Status.PASSED else probe.answered(variant, case, two[0], later)
