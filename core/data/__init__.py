"""Samples: where they come from, what their captions say, and how they are split."""
