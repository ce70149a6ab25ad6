"""`python -m saeflow` is the command `saeflow`."""

from cli.main import main

main()
