"""The front door: the `saeflow` command."""
