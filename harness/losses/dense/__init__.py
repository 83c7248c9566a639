"""What families of dense losses share: axes, cost, inputs, and a judge of entries whose truth and budget are known."""
