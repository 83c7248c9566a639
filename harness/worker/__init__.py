"""Workers: processes that run strangers' code. Judged apart (one implementation each), timed together (one for all).

``process`` is the parent's side (torch-free); ``child`` the worker's; ``describe``, ``judge`` and ``timer`` its jobs.
"""
