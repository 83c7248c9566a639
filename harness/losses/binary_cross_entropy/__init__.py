"""Binary cross-entropy of probabilities, as torch's F.binary_cross_entropy."""
