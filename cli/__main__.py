"""`python -m cli` is `saeflow`."""

from cli.main import main

main()
