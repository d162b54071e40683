"""Tells the level of a log line, by the words that logging libraries put at its beginning."""

import re
from enum import StrEnum

_LOOKED_AT = 200  # characters at the beginning of a line


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


WORDS = {
    LogLevel.DEBUG: ("DEBUG", "TRACE"),
    LogLevel.INFO: ("INFO", "NOTICE"),
    LogLevel.WARNING: ("WARNING", "WARN"),
    LogLevel.ERROR: ("ERROR", "CRITICAL", "FATAL"),
}
_LEVELS = {word: level for level, words in WORDS.items() for word in words}
_ANY = "|".join(_LEVELS)
_NAMED = re.compile(rf"\b({_ANY})\b")
_FIELD = re.compile(
    rf"\b(?:level|severity|levelname)[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?({_ANY})\b", re.IGNORECASE
)
_PYTHON = re.compile(r"Traceback \(most recent call last\):|[\w.]{1,100}(?:Error|Exception): ")


def find_level(text: str) -> LogLevel | None:
    """Return the level that a line names; None if it names none, as most output of programs."""
    beginning = text[:_LOOKED_AT]
    found = _NAMED.search(beginning) or _FIELD.search(beginning)
    if found is not None:
        return _LEVELS[found[1].upper()]
    return LogLevel.ERROR if _PYTHON.match(beginning) else None


def pattern_of(levels: "frozenset[LogLevel]") -> str:
    """Return an expression that is found in every line of these levels, and in some others."""
    words = [word for level in sorted(levels) for word in WORDS[level]]
    expressions = [rf"(?i:\b(?:{'|'.join(words)})\b)"]
    if LogLevel.ERROR in levels:
        expressions.append(r"Traceback \(most recent|(?:Error|Exception): ")
    return "|".join(expressions)
