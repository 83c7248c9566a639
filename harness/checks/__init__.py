"""Checks: (case, implementation's answer) → verdicts, one file each. ``catalogue`` names them without torch."""
