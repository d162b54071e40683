"""Errors of ``volary up``; each names the problem and the remedy."""


class UpError(Exception):
    """An error whose text is shown at the terminal, without a traceback."""
