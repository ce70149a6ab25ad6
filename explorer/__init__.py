"""The reader's side of a study: its features, samples and labels, served over HTTP."""
