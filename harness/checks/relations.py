"""``relations``: how the loss must change when its inputs change in a known way; needs no oracle but for its budgets.

Each relation derives a second call from the cell's own and says what its losses must be, given the first call's. Both
sides are floating-point, so a relation holds when it does within the sum of both sides' budgets: not even a shift of
all logits by a power of two is exact for every sound implementation. The second call is also held to the oracle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch

from harness.checks import (
    relation_binary,
    relation_entries,
    relation_linear,
    relation_list,
    relation_nll,
    relation_rows,
)
from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.probe import Probe
from harness.checks.relation import Relation
from harness.core.case import INTERPRETER, Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs
from harness.losses.cross_entropy.allowed import Allowed, allowed
from harness.losses.evaluators import allowed_losses
from harness.losses.linear_cross_entropy.allowed import allowed_losses as allowed_of_linear
from harness.numerics.formats import Array

_LOGITS, _LINEAR = "cross_entropy", "linear_cross_entropy"
_KNOWN = MappingProxyType(
    {
        _LOGITS: relation_list,
        _LINEAR: relation_linear,
        "nll_loss": relation_nll,
        "softmax": relation_rows,
        "log_softmax": relation_rows,
        "sigmoid": relation_entries,
        "mse_loss": relation_entries,
        "kl_div": relation_entries,
        "binary_cross_entropy": relation_binary,
        "binary_cross_entropy_with_logits": relation_binary,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a relation: losses and what each may be off, flat float64."""

    losses: Array
    budgets: Array


def relations(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the cell's own answer, one on its rows of gradients, and one for each relation."""
    probe = Probe(evidence=evidence, check="relations")
    plain = probe.plain()
    yield plain
    if plain.status is Status.FAILED:
        return
    known = _KNOWN[evidence.case.loss]
    start = known.starting_inputs(evidence.case, evidence.inputs)
    # copies: the truth is that of the inputs as they were, whatever a call writes into them
    answer = evidence.call(evidence.case, start.copied())
    verdict = probe.answered("start", evidence.case, start, answer)
    yield verdict
    if verdict.status is not Status.PASSED or isinstance(answer, Refusal):
        return
    base = _side(evidence.case, start, answer)
    if evidence.case.loss == _LOGITS:
        yield _row_sums(probe, start, answer)
    for relation in known.related(evidence.case, start):
        yield _related(probe, relation, base)


def _related(probe: Probe, relation: Relation, base: Side) -> Verdict:
    answer = probe.evidence.call(relation.case, relation.inputs.copied())
    if isinstance(answer, Refusal) or not relation.compare:
        return probe.answered(relation.name, relation.case, relation.inputs, answer)
    verdict = probe.answered(relation.name, relation.case, relation.inputs, answer)
    if verdict.status is not Status.PASSED:
        return verdict
    found = _side(relation.case, relation.inputs, answer, relation)
    left, right = relation.sides(len(found.losses), len(base.losses))
    expected = right @ base.losses + relation.plus
    off = left @ found.losses - expected
    # one-sided relations forbid an excess in their direction only
    error = np.abs(off) if relation.sign == 0 else np.maximum(relation.sign * off, 0.0)
    budget = np.abs(left) @ found.budgets + np.abs(right) @ base.budgets
    ratio = np.where(error == 0.0, 0.0, error / np.maximum(budget, np.finfo(float).tiny))
    worst = int(ratio.argmax())
    if ratio[worst] <= 1.0:
        return replace(verdict, ratio=max(verdict.ratio or 0.0, float(ratio[worst])))
    sense = {0: "", 1: "at most ", -1: "at least "}[relation.sign]
    reason = (
        f"{relation.summary}: loss {worst} is {float((left @ found.losses)[worst]):.9g}, which should be {sense}"
        f"{float(expected[worst]):.9g}; off by {float(error[worst]):.3g}, both budgets {float(budget[worst]):.3g}"
    )
    return probe.failed(relation.name, reason, "relation")


def _row_sums(probe: Probe, inputs: Inputs, answer: Answer) -> Verdict:
    """The gradient of each row sums to 0, within its entries' budgets: a shift of the row changes nothing."""
    case = probe.evidence.case
    budgets = _allowed(case, inputs).row_sums
    gradient = answer.gradients["logits"]
    if budgets is None or case.target_kind == "probability":
        return probe.passed("row_sums")
    sums = np.abs(_flat(gradient.to(torch.float64).sum(1)))
    if (sums <= budgets).all():
        return probe.passed("row_sums")
    worst = int((sums / budgets).argmax())
    reason = f"the gradient of row {worst} sums to {sums[worst]:.3g}, its entries' budgets to {budgets[worst]:.3g}"
    return probe.failed("row_sums", reason, "relation")


def _side(case: Case, inputs: Inputs, answer: Answer, relation: Relation | None = None) -> Side:
    losses, budgets = _flat(answer.loss.to(torch.float64)), _allowed(case, inputs).loss
    if relation is not None and relation.read is not None:
        losses, budgets = relation.read(losses, budgets)
    return Side(losses=losses, budgets=budgets)


def _allowed(case: Case, inputs: Inputs) -> Allowed:
    # Triton's interpreter truncates where other devices round
    ulps = 1.0 if case.device == INTERPRETER and case.dtype == "bfloat16" else 0.5
    if case.loss == _LINEAR:
        return Allowed(loss=allowed_of_linear(case, inputs, rounding_ulps=ulps), row_sums=None)
    if case.loss != _LOGITS:
        return Allowed(loss=allowed_losses(case.loss)(case, inputs, rounding_ulps=ulps), row_sums=None)
    return allowed(case, inputs, rounding_ulps=ulps)


def _flat(values: torch.Tensor) -> Array:
    return values.detach().cpu().reshape(-1).numpy()
