"""What is the user's to mend."""


class BadInput(ValueError):
    """Something handed in is wrong; the one-line message names it and the mend, and is shown without a traceback."""
