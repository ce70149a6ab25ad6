"""What can be asked of features, as sentences and tables: observed, varied, and in a dossier."""
