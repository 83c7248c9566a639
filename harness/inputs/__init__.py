"""Inputs of a cell: what can be asked for (catalogue, torch-free) and how it is drawn (build)."""
