"""``stability``: NaN and infinities stand exactly where the truth has them; a bad row leaves the others alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from harness.checks.evidence import Evidence, mask_verdict
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.catalogue import family_of, unreduced

#: Cases up to this many logits are also run with one row poisoned; larger ones leave that to the regime ``nonfinite``.
_POISON_ELEMENTS = 1 << 14


def stability(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the masks of loss and gradient, and one, variant ``poisoned_row``, with NaN put into one row."""
    regions = list(evidence.evaluation.regions)
    failed = mask_verdict(evidence, "stability", regions)
    yield failed or Verdict(check="stability", status=Status.PASSED, seed=evidence.case.seed)
    # a cell whose masks are wrong already would only say the same again
    poisoned = None if failed else _poisoned(evidence)
    if poisoned is not None:
        yield poisoned


def _poisoned(evidence: Evidence) -> Verdict | None:
    case = evidence.case
    # of a single class the gradient is 0 whatever the logit: NaN there is one convention of two
    small = case.batch >= 2 and case.classes >= 2 and case.elements <= _POISON_ELEMENTS
    if not small or case.regime == "nonfinite" or case.pass_ != "forward_backward":
        return None
    row = _counted_sample(evidence)
    if row is None:
        return None
    per_row = unreduced(case)

    def poison(inputs: Any) -> Any:
        logits = inputs.logits.clone()
        logits[row] = float("nan")
        return replace(inputs, logits=logits)

    evaluation = evidence.again(per_row, poison)
    if evaluation is None:
        return None
    return mask_verdict(evidence, "stability", list(evaluation.regions), "poisoned_row") or Verdict(
        check="stability", variant="poisoned_row", status=Status.PASSED, seed=case.seed
    )


def _counted_sample(evidence: Evidence) -> int | None:
    """A sample of the batch none of whose rows is ignored: poison in ignored rows is the check ``ignored``'s matter."""
    case, target = evidence.case, evidence.inputs.target
    if family_of(case.loss).axis("ignored") is None or case.target_kind == "probability":
        return case.batch // 2
    counted = (target.reshape(case.batch, -1) != case.ignore_index).all(dim=1).nonzero().flatten().tolist()
    return counted[len(counted) // 2] if counted else None
