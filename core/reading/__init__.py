"""A study that has run, opened by name for those who read it: from its record and manifests alone."""
