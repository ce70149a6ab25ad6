"""The explorer over HTTP: one module per kind of thing that is asked for, and who may ask."""
