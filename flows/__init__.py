"""Composition only: what happens in which order, on which workers."""
