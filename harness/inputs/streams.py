"""Random streams named by what they draw: the same on any machine, for any dtype and device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from harness.core.case import Case

#: A cell with more elements takes its rows as windows into a bank of this many draws: 2^22 normals take
#: 0.14 s of one core, 2^24 would take 0.56 s, and no check can tell.
BANK_SIZE = 1 << 22

#: Changing how anything is drawn changes this number, so that old seeds are known to mean other inputs.
_VERSION = 1


def stream(case: Case, purpose: str, detail: str = "") -> np.random.Generator:
    """The generator of what ``purpose`` and ``detail`` draw for ``case``, from its seed and shape alone.

    Not from its dtype (values are drawn, then rounded), device, pass, implementation or any other axis: cells that
    differ only in, say, weight share their logits and targets. Philox (Salmon et al., SC 2011) is counter-based and
    the same everywhere; blake2b is the hash, for Python's own differs from process to process.
    """
    words = (_VERSION, purpose, detail, case.seed, case.batch, case.classes, *case.dims)
    key = hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def draw_bank(
    case: Case, purpose: str, detail: str, draw: Callable[[np.random.Generator, int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Draws for every logit of ``case``.

    Returns:
        The bank, float64 (draws,), and where each row's window of C draws starts in it, int64 (rows,): one behind the
        other up to :data:`BANK_SIZE` elements, at drawn offsets above.
    """
    rows, classes = case.rows, case.classes
    if rows * classes <= BANK_SIZE:
        return draw(stream(case, purpose, detail), rows * classes), np.arange(rows, dtype=np.int64) * classes
    size = max(BANK_SIZE, 2 * classes)
    starts = stream(case, purpose + " windows", detail).integers(0, size - classes, rows, endpoint=True)
    return draw(stream(case, purpose, detail), size), starts
