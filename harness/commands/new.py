"""``new``: a starter implementation and its test, and what to run next."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from rich.console import Console

from harness.core.errors import UsageError

_CODE = '''"""{name}: say in one sentence what makes it different."""

from __future__ import annotations

import torch

from harness import implementation


# options that the signature lacks (weight, ignore_index, label_smoothing, …) are reported as unsupported, not failed;
# expect={{"gradient[dtype=bfloat16]": "why"}} declares a difference that is known
@implementation("{name}", loss="cross_entropy", targets=("index",))
def {name}(logits: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """logits (N, C) or (N, C, d1, …), target (N,) or (N, d1, …) of class indices; as F.cross_entropy."""
    losses = torch.logsumexp(logits, dim=1) - logits.gather(1, target.unsqueeze(1)).squeeze(1)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
'''
_SUITE = """\
suite: {name}
description: The test of {name}. Run it with pytest, or with python -m harness run.
baseline: torch
implementations: [torch, {name}]
checks: all
cases:
  - loss: cross_entropy
    batch: 64
    classes: [10, 1000]
    dtype: [float32, bfloat16]
    regime: [normal, confident]
    pass: [forward, forward_backward]
timing: {{target_relative_width: 0.05, max_seconds_per_cell: 1}}
# gate: {{min_speedup: {{{name}: 1.0}}}}    # fail when it is slower than torch
"""


def new(name: str, *, console: Console, folder: Path | None = None) -> int:
    """Write ``implementations/NAME.py`` and ``tests/NAME.yaml`` under ``folder`` (default: here); always 0.

    Raises:
        UsageError: the name is no Python name, a file is there already, or cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or keyword.iskeyword(name):
        raise UsageError(f"new: found {name!r}; allowed: a Python name of letters, digits and _, e.g. my_loss")
    root = Path() if folder is None else folder
    code, suite = root / "implementations" / f"{name}.py", root / "tests" / f"{name}.yaml"
    taken = [path for path in (code, suite) if path.exists()]
    if taken:
        raise UsageError(f"new: {taken[0]} is there already; choose another name, or move it away")
    for path, template in ((code, _CODE), (suite, _SUITE)):
        _write(path, template.format(name=name))
    lines = (
        f"wrote {code}", f"wrote {suite}", "next:",
        f"  python -m harness check {name}        # is it right?",
        f"  pytest {suite}        # its test: answers, and speed beside torch",
        f"  python -m harness run {suite}        # the same with a report in results/",
    )  # fmt: skip
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(f"new: cannot write {path}: {error.strerror}") from None
