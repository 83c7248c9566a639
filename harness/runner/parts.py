"""Where the wall time of a timed run went, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from harness.runner.figures import Half


@dataclass(slots=True)
class Parts:
    """Seconds so far: ``sampled`` is inside the sampled calls, ``warming`` inside those before the first round."""

    cells: int = 0
    wall: float = 0.0
    starting: float = 0.0
    machine: float = 0.0
    preparing: float = 0.0
    sampling: float = 0.0
    sampled: float = 0.0
    warming: float = 0.0
    working: float = 0.0

    def add_half(self, half: Half) -> None:
        """Take what one process says of its share of a cell."""
        shared = half.shared
        self.working += shared.get("seconds", 0.0)
        self.preparing += shared.get("preparing", 0.0)
        self.sampling += shared.get("sampling", 0.0)
        self.sampled += shared.get("clocked", 0.0)
        self.warming += shared.get("warming", 0.0)

    def add_wall(self, seconds: float) -> None:
        """Take the wall time of one cell, workers' start included."""
        self.cells += 1
        self.wall += seconds

    def shares(self, judging_seconds: float, observing_seconds: float = 0.0) -> dict[str, float]:
        """Seconds by part; ``between_samples`` is the sampler and the outside of the clock, ``waiting`` the rest.

        ``observing`` is what was asked before anything was judged: what the suite can see, and the semantics matrix.
        """
        found = {
            "observing": observing_seconds,
            "judging": judging_seconds,
            "starting": self.starting,
            "ceilings_and_selfcheck": self.machine,
            "preparing": self.preparing,
            "sampled": self.sampled,
            "warming_up": self.warming,
            "between_samples": max(0.0, self.sampling - self.sampled - self.warming),
            "questions": max(0.0, self.working - self.preparing - self.sampling),
            "waiting": max(0.0, self.wall - self.starting - self.machine - self.working),
        }
        return {name: round(seconds, 3) for name, seconds in found.items()}

    def line(self, judging_seconds: float, observing_seconds: float = 0.0) -> str:
        """One line for a person."""
        shares = self.shares(judging_seconds, observing_seconds)
        total = max(sum(shares.values()), 1e-9)
        parts = sorted(((value, name) for name, value in shares.items() if name != "sampled"), reverse=True)
        rest = ", ".join(
            f"{name.replace('_', ' ')} {value / total:.0%}" for value, name in parts if value / total >= 0.005
        )
        timing = max(total - shares["judging"] - shares["observing"], 1e-9)
        return (
            f"time: {shares['sampled'] / total:.0%} of {total:.0f} s inside the sampled calls "
            f"({shares['sampled'] / timing:.0%} of the timing alone); {rest}"
        )
