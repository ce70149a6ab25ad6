"""Activations: captured in shards of images, read as one table per layer, and examined before use."""
