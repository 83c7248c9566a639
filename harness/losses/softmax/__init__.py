"""Softmax, as torch's F.softmax."""
