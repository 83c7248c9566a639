"""The inputs of any case, made by its loss family. Imports torch."""

from __future__ import annotations

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.evaluators import part


def build_inputs(case: Case) -> Inputs:
    """The inputs of ``case``: the same values on any machine and device.

    Raises:
        UsageError: the combination has no meaning (see ``refusal`` of its family).
        UnknownReferenceError: there is no such family.
    """
    return part(case.loss, "inputs").build(case)
