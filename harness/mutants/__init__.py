"""Losses that are wrong on purpose, and controls that are right but unusual: what the harness is itself judged by.

``catalogue`` lists them without importing torch; each is loaded by reference, in workers only, as any plugin is. The
modules are named after the groups of documented bugs that they stand for. ``selftest`` puts them to the harness.
"""
