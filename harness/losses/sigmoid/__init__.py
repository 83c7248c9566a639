"""The logistic function, as torch.sigmoid."""
