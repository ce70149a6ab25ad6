"""Layouts on disk in which a feature's activations are found, behind one protocol."""
