"""The one thing that can be wrong with a message here."""


class BadMessageError(Exception):
    """The peer sent something its own contract forbids; the text names the field."""
