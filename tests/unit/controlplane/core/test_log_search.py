"""Numbered lines of shipped logs, read from checkpoints, and searched as a plain program would."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from controlplane.core import indexed_logs, log_search
from controlplane.core.errors import InvalidError
from controlplane.core.indexed_logs import Block, LogIndex, NumberedLines, decode_line, find_text
from controlplane.core.log_levels import LogLevel
from controlplane.core.log_search import LastLines, LineWindow, LogQuery, LogSearch
from shared.formats.logs import DAMAGED, MAX_LINE_BYTES, encode_line
from shared.formats.shipped_logs import DamagedLogError
from shared.kit import gzip
from shared.model.logs import LogLine, Originator

AT = datetime(2026, 11, 29, tzinfo=UTC)


def pack(texts: Sequence[str]) -> bytes:
    return gzip.compress(b"".join(encode_line(LogLine(AT, text)) for text in texts))


def read(packed: bytes, piece: int = 1000, index: LogIndex | None = None) -> list[tuple[int, str]]:
    numbered, found = NumberedLines(), list[Block]()
    for begin in range(0, len(packed), piece):
        if index is not None:
            index.note(numbered)
        found += numbered.feed(packed[begin : begin + piece])
    last = numbered.close()
    blocks = found if last is None else [*found, last]
    return [
        (block.first + place, decode_line(raw).text)
        for block in blocks
        for place, raw in enumerate(block.lines)
    ]


def blocks_of(texts: Sequence[str], size: int) -> Sequence[Block]:
    raw = [encode_line(LogLine(AT, text))[:-1] for text in texts]
    return [Block(begin + 1, raw[begin : begin + size]) for begin in range(0, len(raw), size)]


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_lines_of_a_log_are_numbered_from_one(piece: int) -> None:
    texts = [f"line {number}" for number in range(1, 51)]
    assert read(pack(texts), piece) == list(enumerate(texts, start=1))


def test_last_line_without_an_end_counts() -> None:
    packed = gzip.compress(encode_line(LogLine(AT, "a")) + encode_line(LogLine(AT, "b"))[:-1])
    assert read(packed) == [(1, "a"), (2, "b")]


def test_damaged_and_overlong_lines_keep_their_numbers() -> None:
    raw = b"nonsense\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\n" + encode_line(LogLine(AT, "c"))
    assert read(gzip.compress(raw)) == [(1, DAMAGED), (2, DAMAGED), (3, "c")]
    assert read(gzip.compress(b"x" * (2 * MAX_LINE_BYTES))) == [(1, DAMAGED)]


@pytest.mark.parametrize("packed", [b"nonsense", pack(["a"])[:-3]], ids=["no gzip", "truncated"])
def test_log_that_cannot_be_decompressed_is_damaged(packed: bytes) -> None:
    with pytest.raises(DamagedLogError):
        read(packed)


def test_reading_from_a_checkpoint_gives_the_same_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_logs, "CHECKPOINT_BYTES", 150_000)
    texts = [f"{number} {number * 7919 % 9973} text" for number in range(1, 20_001)]
    packed, index = pack(texts), LogIndex("1")
    assert index.find(20_000) is None
    read(packed, 2_000, index)
    for wanted in (1, 2, 5_000, 12_345, 20_000):
        start = index.find(wanted)
        numbered, window = NumberedLines(start), LineWindow(wanted, 3)
        for block in numbered.feed(packed[start.packed if start else 0 :]):
            if window.take(block):
                break
        assert [(each.number, each.line.text) for each in window.lines] == [
            (number, texts[number - 1]) for number in range(wanted, min(wanted + 3, 20_001))
        ]
    assert index.find(20_000) is not None
    assert index.find(1) is None


def test_window_and_last_lines_end_at_the_size_of_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_search, "MAX_ANSWER_BYTES", 300)
    [block] = blocks_of(["x" * 100] * 10, 10)
    window, last = LineWindow(3, 8), LastLines(8)
    assert window.take(block)
    assert [each.number for each in window.lines] == [3, 4]
    assert not last.take(block)
    assert [each.number for each in last.lines] == [9, 10]
    search = LogSearch(LogQuery(text="x"))
    search.take(block)
    assert [each.number for each in search.lines] == [1, 2, 3]
    assert (search.match_count, search.next_line) == (10, 4)


def test_last_lines_are_the_last_of_all_blocks() -> None:
    last = LastLines(3)
    for block in blocks_of([str(number) for number in range(1, 12)], 4):
        assert not last.take(block)
    assert [(each.number, each.line.text) for each in last.lines] == [
        (9, "9"),
        (10, "10"),
        (11, "11"),
    ]


@given(
    texts=st.lists(st.text('ab\\"é ', max_size=6), max_size=40),
    size=st.integers(1, 15),
    context=st.integers(0, 3),
    limit=st.integers(1, 6),
    first=st.integers(1, 45),
    pattern=st.sampled_from(["a", "b$", "^a", "é", r"\s", "^$", '"', "[^a]b"]),
)
def test_search_finds_what_a_search_line_by_line_finds(
    *, texts: list[str], size: int, context: int, limit: int, first: int, pattern: str
) -> None:
    query = LogQuery(
        text=pattern, is_regex=True, is_case_sensitive=True, context=context, limit=limit
    )
    search = LogSearch(query, first)
    for block in blocks_of(texts, size):
        search.take(block)
    matching = [
        number
        for number, text in enumerate(texts, start=1)
        if number >= first and re.search(pattern, text, re.MULTILINE)
    ]
    shown = set(matching[:limit])
    around = {
        number
        for match in shown
        for number in range(max(match - context, first), match + context + 1)
        if number <= len(texts)
    }
    assert search.match_count == len(matching)
    assert search.next_line == (matching[limit] if len(matching) > limit else 0)
    assert [each.number for each in search.lines] == sorted(around)
    # In the context of the last match there may be more, which belong to the next answer.
    assert {each.number for each in search.lines if each.is_match} == shown
    assert all(each.line.text == texts[each.number - 1] for each in search.lines)


def test_search_is_of_plain_text_without_case_by_default() -> None:
    [block] = blocks_of(["A.B", "axb", "a.b"], 3)
    search = LogSearch(LogQuery(text="a.b"))
    search.take(block)
    assert [each.number for each in search.lines] == [1, 3]


def test_search_by_levels_finds_lines_that_name_them() -> None:
    [block] = blocks_of(["ERROR a", "an error", "INFO error", "ValueError: b", "WARN c"], 5)
    search = LogSearch(LogQuery(levels=frozenset({LogLevel.ERROR})))
    search.take(block)
    assert [each.number for each in search.lines] == [1, 4]
    both = LogSearch(LogQuery(text="a", levels=frozenset({LogLevel.ERROR, LogLevel.WARNING})))
    both.take(block)
    assert [each.number for each in both.lines] == [1, 4, 5]


def test_search_counts_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "MAX_COUNTED", 5)
    [block] = blocks_of(["a"] * 9, 9)
    search = LogSearch(LogQuery(text="a", limit=2))
    assert search.take(block)
    assert not search.is_count_exact
    assert search.next_line == 3


@pytest.mark.parametrize(
    "query",
    [
        LogQuery(),
        LogQuery(text="(", is_regex=True),
        LogQuery(text="(?=a)", is_regex=True),
        LogQuery(text=r"(a)\1", is_regex=True),
        LogQuery(text="((a{1000}){1000}){1000}", is_regex=True),
        LogQuery(text="a" * 1_001),
    ],
    ids=["empty", "unbalanced", "look-ahead", "back reference", "too large", "too long"],
)
def test_search_refuses_what_is_no_expression(query: LogQuery) -> None:
    with pytest.raises(InvalidError, match="pattern"):
        LogSearch(query)


def test_expression_that_backtracks_costs_linear_time() -> None:
    [block] = blocks_of(["a" * 16_000 + "b"], 1)
    search = LogSearch(LogQuery(text="(a+)+$", is_regex=True))
    search.take(block)  # a backtracking search would not end
    assert search.match_count == 0


def test_text_of_a_line_is_found_without_decoding_where_it_has_no_escapes() -> None:
    for text in ("plain é", 'say "hi"', "\x1b[1m", ""):
        for originator in Originator:
            assert find_text(encode_line(LogLine(AT, text, originator))[:-1]) == text.encode()
    assert find_text(b"damaged") == DAMAGED.encode()


def test_match_of_a_line_end_is_no_match_of_a_line() -> None:
    [block] = blocks_of(["a", "b c", "d"], 3)
    search = LogSearch(LogQuery(text=r"\s", is_regex=True))
    search.take(block)
    assert [each.number for each in search.lines] == [2]


def test_checkpoint_keeps_no_long_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_logs, "CHECKPOINT_BYTES", 1_000)
    monkeypatch.setattr(indexed_logs, "MAX_KEPT_BYTES", 10)
    numbered, index = NumberedLines(), LogIndex("1")
    for _ in numbered.feed(gzip.compress(b"short\n" * 500 + b"x" * 5_000)):
        pass
    index.note(numbered)
    assert index.find(501) is None
