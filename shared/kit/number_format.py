"""Formats numbers and durations as Flyte does in the arguments of a task's command."""

from decimal import Decimal

_SECOND = 1_000_000_000  # all durations here are in nanoseconds
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_FRACTIONS = ((1_000_000, "ms"), (1000, "µs"), (1, "ns"))


def render_float(value: float) -> str:
    """Render a float with all digits and no exponent; NaN, +Inf, -Inf."""
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    digits = format(Decimal(repr(value)), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def render_duration(nanoseconds: int) -> str:
    """Render a duration: ``1h2m3.5s``, ``1.5ms``, ``0s``."""
    sign, rest = "-" if nanoseconds < 0 else "", abs(nanoseconds)
    if 0 < rest < _SECOND:
        size, unit = next(each for each in _FRACTIONS if rest >= each[0])
        return f"{sign}{_trimmed(rest, size)}{unit}"
    hours, rest = divmod(rest, _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    text = f"{_trimmed(rest, _SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _trimmed(amount: int, unit: int) -> str:
    """Divide by a power of ten and render the quotient without trailing zeros."""
    whole, part = divmod(amount, unit)
    digits = str(part).zfill(len(str(unit)) - 1).rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)
