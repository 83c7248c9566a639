"""Make suites/data/stripes: 2 × 16 small grey images, bars that lie across or stand up, with noise.

Run from the checkout: ``python scripts/make_stripes.py`` (needs the extra ``training`` for Pillow).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(__file__).resolve().parents[1] / "suites" / "data" / "stripes"
COUNT, SIDE, SEED = 16, 16, 0


def main() -> None:
    """Draw and write every image."""
    random = np.random.default_rng(SEED)
    for name in ("across", "upright"):
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(COUNT):
            bars = _bars(random)
            Image.fromarray(bars if name == "upright" else bars.T).save(folder / f"{index:02}.png", optimize=True)
    print(f"{2 * COUNT} images of {SIDE}×{SIDE} in {OUT.relative_to(Path.cwd())}")


def _bars(random: np.random.Generator) -> np.ndarray:
    """Upright bars of random width, place and contrast."""
    width, begin = random.integers(2, 5), random.integers(0, 8)
    inside = ((np.arange(SIDE) + begin) // width) % 2 == 0
    back, front = random.uniform(20, 80), random.uniform(150, 235)
    noise = random.normal(0, 12, size=(SIDE, SIDE))
    return np.clip(np.where(inside[None, :], front, back) + noise, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
