"""Log-softmax, as torch's F.log_softmax."""
