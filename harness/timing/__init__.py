"""Timing: rounds that interleave all rivals, on cold or warm inputs, on the clock of the device."""
