"""Files of older scripts, rewritten once into this project's own: pickled SAEs, activations, and a configuration."""
