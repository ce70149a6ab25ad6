"""Activations: captured in shards of images, read as one table a layer, and examined before use."""
