"""Kullback-Leibler divergence, as torch's F.kl_div."""
