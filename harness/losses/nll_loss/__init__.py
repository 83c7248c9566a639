"""Negative log-likelihood, as torch's F.nll_loss."""
