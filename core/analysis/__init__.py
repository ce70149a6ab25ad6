"""The analyses: one folder each, which declares itself in its `__init__`."""
