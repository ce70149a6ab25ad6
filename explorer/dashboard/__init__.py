"""The explorer's pages: studies, layers, features, samples and comparisons, drawn on the server from what is served."""
