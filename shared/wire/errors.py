"""The error for a message that violates the protocol."""


class BadMessageError(Exception):
    """The peer sent an invalid message; the text names the field."""
