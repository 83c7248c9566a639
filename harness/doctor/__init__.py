"""This machine: how noisy it is, what it can do at most, and how to quieten it. Torch-free; a worker measures."""
