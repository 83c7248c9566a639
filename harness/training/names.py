"""Names of the reference runs: what a perturbed run does, and by how much a planted one is wrong. No torch."""

from __future__ import annotations

BASELINE, FLOAT64 = "baseline", "float64"
#: Signs of the perturbed runs: two random draws, then every gradient entry away from 0, then every entry towards it.
PERTURBATIONS = ("random_1", "random_2", "away", "towards")
#: Relative errors of the planted runs' gradients, smallest first.
PLANTED = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def planted_name(epsilon: float) -> str:
    """Name of the run whose gradient is wrong by the factor 1 + ``epsilon``."""
    return f"planted_{epsilon:.0e}"
