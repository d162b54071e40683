"""Rules for showing a log while it grows."""

from collections.abc import Sequence

from shared.model.logs import LogChunk, LogLine, Originator


class ShownLines:
    """
    Chooses what of a log to show to one reader, and counts its complete lines.

    States of an unfinished line are shown as lines, because readers can only append. The
    complete line is not shown again if its last state was the same text.
    """

    def __init__(self) -> None:
        self.count = 0  # the log continues after this line
        self._partial: str | None = None  # the state that was shown last

    def add_chunk(self, chunk: LogChunk) -> Sequence[LogLine]:
        """Return the lines to show of the next part of the live log."""
        self.count = max(self.count, chunk.last_line)
        if chunk.partial is None:
            return self.add_lines(chunk.lines)
        if chunk.partial.text == self._partial:
            return []  # the reader was disconnected from the agent meanwhile
        self._partial = chunk.partial.text
        return [chunk.partial]

    def add_lines(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        """Return those of the next complete lines that are to be shown."""
        if self._partial is None:
            return lines
        for position, line in enumerate(lines):
            if line.originator is Originator.USER:
                partial, self._partial = self._partial, None
                if line.text == partial:
                    return [*lines[:position], *lines[position + 1 :]]
                break
        return lines
