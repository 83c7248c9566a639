"""Suite files: found, read, validated, expanded to cases, and their cost estimated before anything runs."""

from harness.suite.expand import count_cells, expand
from harness.suite.load import find_suite, load_suite, suite_names
from harness.suite.model import CHECKS, GRADES, Gate, Limits, Suite, Timing

__all__ = [
    "CHECKS",
    "GRADES",
    "Gate",
    "Limits",
    "Suite",
    "Timing",
    "count_cells",
    "expand",
    "find_suite",
    "load_suite",
    "suite_names",
]
