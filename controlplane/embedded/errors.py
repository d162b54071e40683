"""What ``volary up`` cannot do, in a sentence that names the thing and the remedy."""


class UpError(Exception):
    """Shown to the person at the terminal as it is, without a traceback."""
