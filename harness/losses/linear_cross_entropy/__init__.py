"""Linear cross-entropy: the cross-entropy of hidden · weightᵀ + bias, never stored whole by the best."""
