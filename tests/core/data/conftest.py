"""Hypothesis here: the same examples every run, and no deadline on a busy machine."""

from hypothesis import settings

settings.register_profile("saeflow", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("saeflow")
