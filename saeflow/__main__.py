"""`python -m saeflow` is the command `saeflow`."""

from runpy import run_module

run_module("cli", run_name="__main__", alter_sys=True)  # by its name: the two front doors import nothing of each other
