"""Run one candidate: bind its options, call it under the pass's rules, and name what it raised."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from harness.checks.evidence import Answer
from harness.checks.process_state import restoring
from harness.core.case import Case
from harness.core.family import Family
from harness.core.implementation import Implementation
from harness.core.status import Status
from harness.losses.catalogue import family_of
from harness.registry.call import bind, call_options


class CandidateError(Exception):
    """The candidate raised; ``status`` is raised or out_of_memory, ``reason`` the one-line message."""

    def __init__(self, error: BaseException) -> None:
        text = str(error).strip().splitlines()
        super().__init__(f"{type(error).__name__}: {text[0] if text else ''}"[:500])
        self.reason = str(self)
        self.status = Status.OUT_OF_MEMORY if is_out_of_memory(error) else Status.RAISED
        self.traceback = "".join(traceback.format_exception(error))[-6000:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An implementation with its callable and family, ready to be called on any case it supports."""

    description: Implementation
    target: Callable[..., Any]
    family: Family

    def function(self, case: Case, inputs: Any) -> Callable[..., Any]:
        """A callable of (logits, target) with the options of ``case`` bound, and the other tensors of ``inputs``.

        It takes a third argument: other tensors in place of those, by name.
        """
        options = call_options(self.description, case, self.family, inputs.tensors())
        return bind(self.target, options, self.family, inputs.others)

    def answer(self, case: Case, inputs: Any) -> Answer:
        """Call the candidate under the rules of the case's pass.

        Raises:
            CandidateError: it raised anything, SystemExit included.
        """
        with guarded_state():
            try:
                if case.pass_ == "forward_no_grad":
                    function = self.function(case, inputs)
                    with torch.no_grad():
                        loss = function(inputs.logits, inputs.target)
                        return Answer(loss=_detached(loss), gradients={}, requires_grad=_requires_grad(loss))
                tensors = inputs.tensors()
                leaves = {name: tensors[name].detach().requires_grad_() for name in self.family.gradients(case)}
                given = inputs.changed(leaves)
                loss = self.function(case, given)(given.logits, given.target)
                gradients = _gradients(loss, leaves, inputs.grad_output) if case.needs_gradient else {}
                return Answer(loss=_detached(loss), gradients=gradients, requires_grad=_requires_grad(loss))
            except BaseException as error:  # strangers' code: SystemExit is its own as well
                raise CandidateError(error) from None


def _gradients(loss: Any, leaves: Mapping[str, torch.Tensor], upstream: torch.Tensor) -> dict[str, torch.Tensor]:
    if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
        return {}
    if upstream.shape != loss.shape:
        return {}  # the check names the wrong shape of the loss
    found = torch.autograd.grad(loss, tuple(leaves.values()), upstream.to(loss.dtype), allow_unused=True)
    return {
        name: _apart(gradient, leaves) for name, gradient in zip(leaves, found, strict=True) if gradient is not None
    }


def _apart(gradient: torch.Tensor, leaves: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The gradient in memory of its own: one written over an input would change when that input is put back."""
    taken = {leaf.untyped_storage().data_ptr() for leaf in leaves.values()}
    return gradient.clone() if gradient.untyped_storage().data_ptr() in taken else gradient


def _detached(loss: Any) -> Any:
    return loss.detach() if isinstance(loss, torch.Tensor) else loss


def _requires_grad(loss: Any) -> bool:
    return isinstance(loss, torch.Tensor) and loss.requires_grad


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on either device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def guarded_state() -> AbstractContextManager[None]:
    """Put back what a candidate may have changed for everyone, and note it: modes, threads, denormals, random state."""
    return restoring(put_back())


@lru_cache(maxsize=1)
def put_back() -> set[str]:
    """What :func:`guarded_state` has had to put back in this process."""
    return set()


#: One feature that no signature shows, and how a plain case gets it.
_FEATURES: dict[str, Callable[[Case], Case]] = {
    "probability targets": lambda plain: replace(plain, target="probability"),
    # no size equals another: one that lacks the dimension could broadcast over it by accident, and seem to have it
    "more than two dimensions": lambda plain: replace(plain, dims=(7,)),
}


def features(case: Case) -> list[str]:
    """Features of ``case`` that an implementation may lack without its signature showing it."""
    found = []
    if case.target_kind == "probability" and family_of(case.loss).has_classes:
        found.append("probability targets")
    if case.dims:
        found.append("more than two dimensions")
    if case.dtype != "float32":
        found.append(f"dtype {case.dtype}")
    if case.layout != "contiguous":
        found.append(f"layout {case.layout}")
    return found


def plain_cases(case: Case, feature: str | None) -> list[Case]:
    """Three small plain cases on the device of ``case``, each with just ``feature``."""
    plain = family_of(case.loss).case(
        batch=4, classes=5, features=4 * bool(case.features), device=case.device, pass_=case.pass_
    )
    sizes = [plain, replace(plain, batch=2, classes=16), replace(plain, batch=3, classes=33)]
    if feature is None:
        return sizes
    if feature.startswith("dtype "):
        return [replace(size, dtype=feature.removeprefix("dtype ")) for size in sizes]
    if feature.startswith("layout "):
        return [replace(size, layout=feature.removeprefix("layout ")) for size in sizes]
    return [_FEATURES[feature](size) for size in sizes]
