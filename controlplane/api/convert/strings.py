"""Validates strings from callers: Postgres takes no NUL, and lengths are bounded."""

from controlplane.core.errors import InvalidError

MAX_URI = 2048
MAX_WORDS = 1024
MAX_LABEL = 256


def parse_text(value: str, field: str, *, most: int = MAX_WORDS) -> str:
    """Parse a string of at most ``most`` characters, or raise InvalidError naming ``field``."""
    if len(value) > most:
        raise InvalidError(f"{field}: must be at most {most} characters, not {len(value)}")
    if "\0" in value:
        raise InvalidError(f"{field}: must not hold NUL characters")
    return value


def parse_label(value: str, *, most: int = MAX_LABEL) -> str:
    """
    Parse a string that is shown to people only, shortened to ``most`` characters.

    NUL characters become U+FFFD. An enqueue refused for a label would fail its parent.
    """
    value = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return value if len(value) <= most else f"{value[: most - 1]}…"


def parse_uri(value: str, field: str) -> str:
    return parse_text(value, field, most=MAX_URI)
