"""Rules for showing a log while it grows."""

from controlplane.core.followed_logs import ShownLines
from shared.model.logs import LogChunk, LogLine, Originator
from tests.factories import NOW


def state(text: str, *, after_line: int = 0) -> LogChunk:
    return LogChunk([], after_line, LogLine(NOW, text))


def user(*texts: str) -> list[LogLine]:
    return [LogLine(NOW, text) for text in texts]


def show(*chunks: LogChunk) -> list[str]:
    shown = ShownLines()
    return [line.text for chunk in chunks for line in shown.add_chunk(chunk)]


def test_shown_lines_are_those_of_the_log() -> None:
    assert show(LogChunk(user("a", "b"), 2), LogChunk(user("c"), 3)) == ["a", "b", "c"]


def test_unfinished_line_is_shown_in_each_new_state() -> None:
    assert show(state("1/9"), state("1/9"), state("2/9")) == ["1/9", "2/9"]


def test_complete_line_is_not_shown_after_the_same_state() -> None:
    assert show(state("9/9"), LogChunk(user("9/9", "9/9"), 2)) == ["9/9", "9/9"]


def test_complete_line_is_shown_after_another_state() -> None:
    chunks = (state("8/9"), LogChunk(user("9/9", "8/9"), 2))
    assert show(*chunks) == ["8/9", "9/9", "8/9"]


def test_message_of_the_system_does_not_end_an_unfinished_line() -> None:
    note = LogLine(NOW, "9/9", Originator.SYSTEM)
    chunks = (state("9/9"), LogChunk([note], 1), LogChunk([note, *user("9/9", "end")], 4))
    assert show(*chunks) == ["9/9", "9/9", "9/9", "end"]


def test_unfinished_line_is_not_counted() -> None:
    shown = ShownLines()
    shown.add_chunk(LogChunk(user("a", "b"), 7))
    shown.add_chunk(state("c", after_line=7))
    assert shown.count == 7
