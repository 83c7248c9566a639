"""Linear cross-entropy: the cross-entropy of hidden · weightᵀ + bias, which a good implementation never stores whole."""
