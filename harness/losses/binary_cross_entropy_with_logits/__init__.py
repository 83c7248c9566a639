"""Binary cross-entropy of logits, as torch's F.binary_cross_entropy_with_logits."""
