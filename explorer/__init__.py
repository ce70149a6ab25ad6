"""The reader's side of a study (comes with a later issue)."""
