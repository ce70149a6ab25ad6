"""What people call features, kept per SAE artefact, and as one file per model."""
