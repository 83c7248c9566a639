"""Mean squared error, as torch's F.mse_loss."""
