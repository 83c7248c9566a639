"""Training equivalence: small programs trained with any cross-entropy, compared with an oracle-backed baseline."""
