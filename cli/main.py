"""The `saeflow` command, started: whatever the user can correct is told in one line."""

from cli.terminal import ended_by_signals, plain_errors


def main() -> None:
    """Run the command."""
    with plain_errors(), ended_by_signals():
        from cli.app import app  # here, for importing it reads the declarations of installed packages

        app()
