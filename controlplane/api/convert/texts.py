"""Strings from strangers, before they meet Postgres, which takes no NUL and no end of length."""

from controlplane.core.errors import InvalidError

MAX_URI = 2048
MAX_WORDS = 1024


def parse_text(value: str, field: str, *, most: int = MAX_WORDS) -> str:
    """Take a string of at most ``most`` characters, or raise InvalidError naming ``field``."""
    if len(value) > most:
        raise InvalidError(f"{field}: must be at most {most} characters, not {len(value)}")
    if "\0" in value:
        raise InvalidError(f"{field}: must not hold NUL characters")
    return value


def parse_uri(value: str, field: str) -> str:
    return parse_text(value, field, most=MAX_URI)
