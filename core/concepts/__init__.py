"""Concepts in labelled sentences."""
