"""Sparse autoencoders: which rows they learn from, how they are trained, measured and stored."""
