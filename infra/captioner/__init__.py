"""How the known-answer world's sprites were rendered and its captioner trained."""
