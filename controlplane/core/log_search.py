"""
Searches numbered log lines by regular expressions that take linear time, with context.

The expressions are RE2's: a search costs time in proportion to the text, whatever the expression.
A block of lines is searched as one text, which costs a fiftieth of searching line by line.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import re2

from controlplane.core.errors import InvalidError
from controlplane.core.indexed_logs import Block, decode_line, find_text
from controlplane.core.log_levels import LogLevel, find_level, pattern_of
from shared.model.logs import LogLine

MAX_PATTERN = 1_000
"""Characters of an expression."""
MAX_CONTEXT = 20
MAX_LINES = 1_000
"""Lines, or matches, in an answer."""
MAX_ANSWER_BYTES = 2 * 1024**2
"""Raw bytes of the lines of an answer; it ends early then."""
MAX_COUNTED = 100_000
"""Matches that are counted."""
_MAX_MEMORY = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class NumberedLine:
    number: int
    line: LogLine
    is_match: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """A search: ``text`` is plain, or an expression; levels narrow it, "" searches by them alone."""

    text: str = ""
    is_regex: bool = False
    is_case_sensitive: bool = False
    levels: frozenset[LogLevel] = frozenset()
    context: int = 0  # lines before and after a match
    limit: int = MAX_LINES  # of matches


class LineWindow:
    """Collects lines from a number on: at most ``limit``, and at most MAX_ANSWER_BYTES."""

    def __init__(self, first: int, limit: int) -> None:
        self.lines: list[NumberedLine] = []
        self._next = first
        self._end = first + limit
        self._bytes = 0

    def take(self, block: Block) -> bool:
        """Take what is wanted of a block; return whether that was all."""
        for raw in block.lines[max(self._next - block.first, 0) : self._end - block.first]:
            self._bytes += len(raw)
            if self.lines and self._bytes > MAX_ANSWER_BYTES:
                return True
            self.lines.append(NumberedLine(self._next, decode_line(raw)))
            self._next += 1
        return self._next >= self._end


class LastLines:
    """Keeps the last lines of a log: at most ``limit``, and about MAX_ANSWER_BYTES."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: deque[tuple[int, bytes]] = deque()
        self._bytes = 0

    def take(self, block: Block) -> bool:
        kept = block.lines[-self._limit :]
        first = block.first + len(block.lines) - len(kept)
        for number, raw in enumerate(kept, start=first):
            self._lines.append((number, raw))
            self._bytes += len(raw)
        while len(self._lines) > self._limit or (
            len(self._lines) > 1 and self._bytes > MAX_ANSWER_BYTES
        ):
            self._bytes -= len(self._lines.popleft()[1])
        return False

    @property
    def lines(self) -> Sequence[NumberedLine]:
        return [NumberedLine(number, decode_line(raw)) for number, raw in self._lines]


class LogSearch:
    """
    Finds the lines of one log that match, from line ``first`` on.

    ``lines`` has the first matches with their context; ``next_line`` is where a search for more begins,
    0 if there are none; all matches are counted, up to MAX_COUNTED.
    """

    def __init__(self, query: LogQuery, first: int = 1) -> None:
        """InvalidError if the expression is none."""
        self._matcher = _Matcher(query)
        self._query = query
        self._first = first
        self._recent: deque[bytes] = deque(maxlen=query.context or None)
        self._returned = 0
        self._bytes = 0
        self._collected = 0  # number of the last line in ``lines``
        self._after = 0  # number of the last line of the context that is under way
        self.lines: list[NumberedLine] = []
        self.match_count = 0
        self.next_line = 0

    @property
    def is_count_exact(self) -> bool:
        return self.match_count < MAX_COUNTED

    def take(self, block: Block) -> bool:
        """Search a block; return whether the rest of the log need not be searched."""
        skipped = min(max(self._first - block.first, 0), len(block.lines))
        lines, first = block.lines[skipped:], block.first + skipped
        if not lines:
            return False
        window = [*self._recent, *lines]
        base = first - len(self._recent)
        for place in self._matcher.find([find_text(raw) for raw in lines]):
            self.match_count += 1
            if self.match_count >= MAX_COUNTED:
                return True
            if self._is_full():
                self.next_line = self.next_line or first + place
                continue
            self._add_match(window, base, first + place)
        self._add(window, base, self._collected + 1, self._after)
        if self._query.context:
            self._recent.extend(lines)
        return False

    def _is_full(self) -> bool:
        return self._returned >= self._query.limit or self._bytes > MAX_ANSWER_BYTES

    def _add_match(self, window: Sequence[bytes], base: int, number: int) -> None:
        self._add(window, base, self._collected + 1, min(self._after, number - 1))
        self._add(window, base, number - self._query.context, number - 1)
        self._add(window, base, number, number, is_match=True)
        self._returned += 1
        self._after = number + self._query.context

    def _add(
        self, window: Sequence[bytes], base: int, begin: int, last: int, *, is_match: bool = False
    ) -> None:
        """Collect the lines from ``begin`` to ``last`` that are there, and are not collected."""
        begin = max(begin, self._collected + 1, base)
        for number in range(begin, min(last + 1, base + len(window))):
            raw = window[number - base]
            self._bytes += len(raw)
            self.lines.append(NumberedLine(number, decode_line(raw), is_match))
            self._collected = number


class _Matcher:
    def __init__(self, query: LogQuery) -> None:
        if len(query.text) > MAX_PATTERN:
            raise InvalidError(f"pattern: send at most {MAX_PATTERN} characters")
        if not query.text and not query.levels:
            raise InvalidError("pattern: send a text to search for, or levels")
        options = re2.Options()
        options.max_mem = _MAX_MEMORY
        options.log_errors = False
        self._levels = query.levels
        text = query.text if query.is_regex else re2.escape(query.text)
        text = text or pattern_of(query.levels)
        flags = "m" if query.is_case_sensitive or not query.text else "im"
        try:
            self._expression = re2.compile(f"(?{flags}:{text})".encode(), options)
        except re2.error as error:
            why = error.args[0]
            why = why.decode(errors="replace") if isinstance(why, bytes) else str(why)
            raise InvalidError(
                f"pattern: is not a regular expression of RE2's syntax: {why[:200]}; to search for a"
                " text as it is, send regex = false"
            ) from error

    def find(self, texts: Sequence[bytes]) -> Iterator[int]:
        """Yield the places of the texts that match, in order."""
        joined = b"\n".join(texts)
        found = self._expression.search(joined)
        if found is None:
            return
        # A match may span lines (``\s`` matches a line end): the line where it begins is searched by
        # itself, and the search goes on at the next line, so that no line is passed over.
        begins = list(accumulate((len(each) + 1 for each in texts), initial=0))
        while found is not None:
            place = bisect_right(begins, found.start()) - 1
            if self._matches(texts[place]):
                yield place
            if begins[place + 1] > len(joined):
                return
            found = self._expression.search(joined, begins[place + 1])

    def _matches(self, text: bytes) -> bool:
        if self._expression.search(text) is None:
            return False
        return not self._levels or find_level(text.decode(errors="replace")) in self._levels
