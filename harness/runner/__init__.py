"""The runner: cases × implementations → workers → outcomes → store, telling a progress listener what happens.

``survey`` asks workers what there is; ``plan`` pairs cases with implementations; ``judging`` and ``timing`` drive
workers; ``record`` keeps outcomes; ``run`` puts them together. Torch-free: strangers' code runs in workers only.
"""
