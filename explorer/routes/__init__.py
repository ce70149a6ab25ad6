"""The addresses of the explorer: one module per kind of thing that is asked for."""
