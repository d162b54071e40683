"""Formats values for a terminal: tables, fields, times."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    """Format rows below their titles, each column as wide as its widest cell."""
    rendered = Rows(titles)
    yield from rendered.render(rows)
    yield from rendered.end()


class Rows:
    """A table that is printed page by page; a column grows with the widest cell so far."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles: Sequence[str] | None = titles
        self._widths = [len(title) for title in titles]

    def render(self, rows: Iterable[Sequence[object]]) -> Iterable[str]:
        """Format a page; the first one has the titles above it."""
        lines = [[_cell(cell) for cell in row] for row in rows]
        if lines:
            lines = [*self._take_titles(), *lines]
        for line in lines:
            self._widths = [
                max(width, len(cell)) for width, cell in zip(self._widths, line, strict=True)
            ]
        for line in lines:
            yield _render_line(line, self._widths)

    def end(self) -> Iterable[str]:
        """Format the titles of a table that had no rows."""
        return [_render_line(line, self._widths) for line in self._take_titles()]

    def _take_titles(self) -> list[list[str]]:
        titles, self._titles = self._titles, None
        return [] if titles is None else [list(titles)]


def render_fields(values: Mapping[str, object]) -> Iterable[str]:
    """Format names and values, one pair a line."""
    width = max(len(name) for name in values)
    for name, value in values.items():
        yield f"{name.ljust(width)}  {_cell(value)}".rstrip()


def ago(at: datetime | None, now: datetime) -> str:
    """Format the time since ``at``, as in "2m 3s ago"."""
    return "never" if at is None else f"{span(now - at)} ago"


def span(length: timedelta) -> str:
    """Format a duration in its two largest units."""
    seconds = max(0, int(length.total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    if minutes:
        return f"{minutes}m {seconds % 60}s"
    return f"{seconds}s" if seconds else f"{max(0.0, length.total_seconds()):.1f}s"


def _render_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(timespec="seconds")
        case _:
            return printable(str(value)).replace("\n", " ")


def printable(text: str) -> str:
    """Keep control characters, which others may have put into names, from the terminal."""
    return "".join(
        each if each.isprintable() or each == "\n" else f"\\x{ord(each):02x}" for each in text
    )
