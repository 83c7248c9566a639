"""Compares an answer with the float64 reference of a declared loss, within budgets that probes of it give.

The truth r is the reference in float64 on the rounded inputs. How far rounding may lead is not known of a formula that
nobody analysed, so it is measured: the reference is run on inputs perturbed entry by entry by relative steps of ±ε, and

    S = Σ over K probes of |r(x (1 ± ε)) - r(x)| ÷ ε              a first-order condition, of results and of gradients
    J = Σ over 16 probes of |r(x (1 ± 2 u_out)) - r(x)|           jumps: relu and max at a kink, where ε is too small
    tight     (4 + h) u (S + |r|)             h = 8 √(n + 1) for n inputs that go into one result: the depth of its sums
    standard  + J + 4 u max |r|               and, in a half dtype, 4 u_h (S + |r|), for intermediates that are stored

and the final rounding. A backward stable computation, one whose result is that of inputs changed by a few roundings, is
inside ``tight``. What this cannot see: under ``standard`` an entry about 10⁷ times smaller than the largest of its
tensor (in float32); and what the reference itself gets wrong, such as an overflow in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt

import numpy as np
import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of
from harness.losses.dense.entries import Rules, Truth, finished, rules_of
from harness.numerics.evaluation import Evaluation
from harness.numerics.formats import FORMATS, Array, round_to
from harness.numerics.tally import Comparison, Tally
from harness.registry.own import own_losses

PROBES, FAR_PROBES = 6, 16
STEP = 2.0**-20

Results = dict[str, Array]


def evaluate(
    case: Case, inputs: Inputs, loss: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Judge ``loss`` and the gradients by name; the reference gives the truth of each."""
    rules = rules_of(case, rounding_ulps)
    found = {**({} if loss is None else {"loss": loss}), **{f"grad_{name}": g for name, g in gradients.items()}}
    names = tuple(gradients)
    wide = _widened(inputs)
    truth, moved = _results(case, wide, names), _moved(case, wide, names, STEP, PROBES)
    jumped = _moved(case, wide, names, 2.0 * rules.out.u, FAR_PROBES)
    terms = max(1.0, inputs.logits.numel() / max(1, truth["loss"].size))
    reports = []
    with np.errstate(all="ignore"):
        for value, tensor in found.items():
            depth = 8.0 * sqrt(terms + 1.0)
            jump = jumped[value] * 2.0 * rules.out.u
            budgets = _budgets(truth[value], moved[value], jump, depth, rules)
            tally = Tally(value, "loss" if value == "loss" else "element", rules.out)
            shape = tuple(tensor.shape)
            compared = Comparison(
                truth=truth[value].reshape(-1), found=_numpy(tensor).reshape(-1), locate=partial(_locate, shape)
            )
            tally.add(compared, budgets)
            reports.append(tally.report())
    return Evaluation(regions=tuple(report for report in reports if report is not None))


def truth(case: Case, inputs: Inputs) -> Truth:
    """The reference's answer, rounded once to the case's dtype."""
    found = _results(case, _widened(inputs), ("logits",))
    rounded = {
        name: torch.from_numpy(np.asarray(round_to(values, FORMATS[case.dtype]))).to(getattr(torch, case.dtype))
        for name, values in found.items()
    }
    return Truth(loss=rounded["loss"], gradients={"logits": rounded["grad_logits"]})


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """The reference on the inputs as they are, in their own dtype."""
    return _called(case, inputs, logits)


def _called(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    own, family = own_losses()[case.loss], family_of(case.loss)
    assert own.reference is not None
    tensors = {**inputs.tensors(), "logits": logits}
    options = {name: family.value(case, name) for name, _ in own.options}
    return own.reference(*(tensors[slot] for slot in family.slots), **options)


def _widened(inputs: Inputs) -> Inputs:
    wide = {
        name: tensor.detach().cpu().to(torch.float64 if tensor.is_floating_point() else torch.int64)
        for name, tensor in _all(inputs)
    }
    return inputs.changed(wide)


def _all(inputs: Inputs) -> list[tuple[str, torch.Tensor]]:
    return list(inputs.tensors().items())


def _results(case: Case, inputs: Inputs, names: tuple[str, ...]) -> Results:
    """The reference's result and gradients in float64."""
    tensors = inputs.tensors()
    leaves = {name: tensors[name].detach().requires_grad_() for name in names}
    given = inputs.changed(leaves)
    result = _called(case, given, given.logits)
    found = {"loss": result.detach().numpy()}
    if names:
        made = torch.autograd.grad(result, list(leaves.values()), inputs.grad_output.to(torch.float64))
        found.update({f"grad_{name}": gradient.numpy() for name, gradient in zip(names, made, strict=True)})
    return found


def _moved(case: Case, inputs: Inputs, names: tuple[str, ...], step: float, probes: int) -> Results:
    """S: what the probes move each entry by, over all of them, per unit of relative perturbation."""
    generator = torch.Generator().manual_seed(case.seed)
    base, total = _results(case, inputs, names), {}
    for _ in range(probes):
        signs = {
            name: tensor * (1.0 + step * (2.0 * torch.randint(0, 2, tensor.shape, generator=generator) - 1.0))
            for name, tensor in _all(inputs)
            if tensor.is_floating_point() and name != "grad_output"
        }
        for name, values in _results(case, inputs.changed(signs), names).items():
            with np.errstate(invalid="ignore"):
                off = np.nan_to_num(np.abs(values - base[name]) / step, nan=0.0, posinf=0.0)
            total[name] = total.get(name, 0.0) + off
    return total


def _budgets(truth: Array, moved: Array, jump: Array, depth: float, rules: Rules) -> dict[str, Callable[[], Array]]:
    size = np.abs(truth).reshape(-1)
    condition = moved.reshape(-1) + size
    finite = size[np.isfinite(size)]
    largest = float(finite.max()) if finite.size else 0.0
    tight = (4.0 + depth) * rules.u * condition
    standard = tight + jump.reshape(-1) + 4.0 * rules.u * largest + 4.0 * rules.halves * condition
    return {
        "tight": partial(finished, tight, size, rules), "standard": partial(finished, standard, size, rules)
    }  # fmt: skip


def _numpy(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().to(torch.float64).numpy()


def _locate(shape: tuple[int, ...], at: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(at, shape)) if shape else ()
