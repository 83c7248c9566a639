"""Losses that users declare in files of their own: described as any family, judged by their float64 reference."""
