"""How far right losses stay from the baseline, and what error is seen: the figures of docs/training.md, over seeds.

Run from the checkout: ``python scripts/training_power.py`` (about 2 minutes on one core; needs the extra ``training``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.suite.workloads import TrainingEntry
from harness.training.compare import Reference, departures, reference_of, worst
from harness.training.data import Data, data_of
from harness.training.loop import Loss, run_training
from harness.training.names import FLOAT64
from harness.training.nets import net_of
from harness.training.reference import deviations, oracle_loss
from harness.training.setup import Setup, setups_of

SEEDS = tuple(range(3))
LOSSES = {
    "torch": F.cross_entropy,
    "log_softmax_nll": lambda x, t: F.nll_loss(F.log_softmax(x, 1), t),
    "naive (log of softmax)": lambda x, t: F.nll_loss(torch.log(torch.softmax(x, 1)), t),
}


def main() -> None:
    """Print one line for each workload."""
    torch.set_num_threads(1)
    for workload, accumulation in (
        ("linear", 1), ("digits", 1), ("images", 1), ("language_model", 1), ("language_model", 2),
    ):  # fmt: skip
        entry = TrainingEntry(
            workload=workload, steps=None, batch=None, learning_rate=None, accumulation=accumulation, seeds=SEEDS,
            classes=(), folder=None, key="", line=0,
        )  # fmt: skip
        found = [_measured(setup) for setup in setups_of(entry, "cpu")]
        largest = max(ratio for ratios, _, _ in found for ratio in ratios)
        sees = [f"{sees:g}" for _, sees, _ in found]
        wrong = min(ratio for _, _, ratio in found)
        name = f"{workload}, accumulation {accumulation}"
        print(f"{name}: right losses at most {largest:.3f} of what is allowed over {len(SEEDS)} seeds; ", end="")
        print(f"sees a gradient wrong by {', '.join(sees)}; divided by all rows: {wrong:.3g}")


def _measured(setup: Setup) -> tuple[list[float], float, float]:
    """(ratios of right losses, smallest error seen, ratio of a mean that divides by all rows)."""
    data, runs = data_of(setup), {}
    for deviation in deviations():
        base = deviation.name == "baseline"
        runs[deviation.name] = run_training(setup, data, net_of(setup), oracle_loss(deviation), whole=base).arrays()
    wide = run_training(setup, data, net_of(setup), oracle_loss(deviations()[0]), whole=True, dtype=torch.float64)
    reference = reference_of({**runs, FLOAT64: wide.arrays()})
    ratios = [_ratio(setup, data, loss, reference) for loss in LOSSES.values()]
    return ratios, reference.sees or float("nan"), _ratio(setup, data, _over_all_rows, reference)


def _ratio(setup: Setup, data: Data, loss: Loss, reference: Reference) -> float:
    run = run_training(setup, data, net_of(setup), loss).arrays()
    return worst(departures(run, reference)).ratio


def _over_all_rows(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target, reduction="sum") / len(target)


if __name__ == "__main__":
    main()
