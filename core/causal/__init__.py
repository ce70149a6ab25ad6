"""Edits of the residual stream, the pairs and captions they are measured on, and their matched controls."""
