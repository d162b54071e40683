"""Tests of an attempt's log: written as it arrives, bounded, read from any line."""

import asyncio
import gzip
import os
import threading
from pathlib import Path

import pytest

from dataplane.agent.core import link_limits
from dataplane.agent.runtimes.process import logs
from dataplane.agent.runtimes.process.logs import LogReader, LogWriter, pack_log, read_last_lines
from shared.formats.logs import DAMAGED, MAX_LINE_BYTES
from shared.model.logs import LogLine, Originator
from tests.fakes.clock import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def make_writer(path: Path, *, line_bytes: int = 1000, log_bytes: int = 10**6) -> LogWriter:
    return LogWriter(path, FakeClock(), line_bytes=line_bytes, log_bytes=log_bytes)


def read_all(path: Path, after_line: int = 0) -> list[LogLine]:
    reader = LogReader(path)
    lines: list[LogLine] = []
    while chunk := reader.read(after_line):
        lines += chunk.lines
    return lines


def read_raw(path: Path) -> bytes:
    return path.read_bytes()


def append(path: Path, raw: bytes) -> None:
    with path.open("ab") as file:
        file.write(raw)


def texts(path: Path) -> list[str]:
    return [line.text for line in read_all(path)]


def test_log_lines_are_complete_however_chunked(path: Path) -> None:
    writer = make_writer(path)
    for piece in (b"one\ntw", b"o\n", b"", b"thr", b"ee"):
        writer.feed(piece)
    assert texts(path) == ["one", "two"]

    writer.close()
    assert texts(path) == ["one", "two", "three"]


def test_log_lines_have_time_and_source(path: Path) -> None:
    writer = make_writer(path)
    writer.say("ours")
    writer.feed(b"theirs\n")
    at = FakeClock().now()

    assert read_all(path) == [
        LogLine(at, "ours", Originator.SYSTEM),
        LogLine(at, "theirs", Originator.USER),
    ]
    writer.close()


@pytest.mark.parametrize("ended", [True, False], ids=["with-its-end", "without-an-end"])
def test_long_log_line_is_split(path: Path, *, ended: bool) -> None:
    writer = make_writer(path, line_bytes=10)
    writer.feed(b"x" * 25 + (b"\n" if ended else b""))
    writer.close()

    assert texts(path) == ["x" * 10, "x" * 10, "x" * 5]


def test_log_with_invalid_utf8_is_shown(path: Path) -> None:
    writer = make_writer(path)
    writer.feed(b"\xff\xfe ok\r\n\n")
    writer.close()

    assert texts(path) == ["\ufffd\ufffd ok", ""]


@pytest.mark.parametrize("ended", [True, False], ids=["with-its-end", "without-an-end"])
@pytest.mark.parametrize("line_bytes", range(4, 12))
def test_long_log_line_is_split_between_characters(
    path: Path, line_bytes: int, *, ended: bool
) -> None:
    text = "é漢🙂x" * 20
    writer = make_writer(path, line_bytes=line_bytes)
    for byte in text.encode() + (b"\n" if ended else b""):
        writer.feed(bytes([byte]))
    writer.close()

    assert "".join(texts(path)) == text
    assert all(len(piece.encode()) <= line_bytes for piece in texts(path))


def test_long_log_line_with_invalid_utf8_is_split(path: Path) -> None:
    writer = make_writer(path, line_bytes=10)
    writer.feed(b"\x80" * 25)
    writer.close()

    assert [len(text) for text in texts(path)] == [10, 10, 5]


@pytest.mark.parametrize("size", [1, 7, 10**6], ids=["bytes", "pieces", "whole"])
def test_progress_bar_is_one_log_line_with_last_state(path: Path, size: int) -> None:
    written = (
        b"".join(b"\rstep %d/3000 " % step + b"#" * 40 for step in range(3001)) + b"\ndone\r\n"
    )
    writer = make_writer(path)
    for start in range(0, len(written), size):
        writer.feed(written[start : start + size])
    writer.close()

    assert texts(path) == ["step 3000/3000 " + "#" * 40, "done"]


async def test_packed_log_has_same_lines(path: Path) -> None:
    writer = make_writer(path, log_bytes=10**8)
    writer.feed(b"".join(b"line %d\n" % number for number in range(50_000)))
    writer.close()

    whole = read_raw(path)
    assert len(whole) > 2**21  # several pieces
    assert gzip.decompress(await pack_log(path)) == whole


async def test_log_packing_can_be_cancelled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = make_writer(path)
    writer.close()
    packed = threading.Event()
    pieces = 0

    def pack_without_end(*_: object) -> bytes:
        nonlocal pieces
        pieces += 1
        packed.set()
        return b""

    monkeypatch.setattr(logs, "_pack_piece", pack_without_end)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        packing = tasks.create_task(pack_log(path))
        await asyncio.to_thread(packed.wait)
        packing.cancel()
    assert packing.cancelled()
    assert pieces > 0


def test_log_over_limit_ends_with_a_notice(path: Path) -> None:
    writer = make_writer(path, log_bytes=500)
    for number in range(1000):
        writer.feed(f"line {number}\n".encode())
    writer.close()

    lines = read_all(path)
    assert lines[0].text == "line 0"
    assert "the log ends here" in lines[-1].text
    assert lines[-1].originator is Originator.SYSTEM
    assert path.stat().st_size < 700


def test_log_is_followed_as_it_grows(path: Path) -> None:
    writer, reader = make_writer(path), LogReader(path)
    writer.feed(b"one\n")
    first = reader.read(0)
    assert reader.read(0) is None
    writer.feed(b"two\n")
    second = reader.read(0)
    writer.close()

    assert first is not None
    assert second is not None
    assert [line.text for line in (*first.lines, *second.lines)] == ["one", "two"]
    assert (first.last_line, second.last_line) == (1, 2)


def test_log_is_read_from_any_line(path: Path) -> None:
    writer = make_writer(path)
    writer.feed(
        b"".join(f"{number}\n".encode() for number in range(1, 2 * link_limits.CHUNK_LINES))
    )
    writer.close()

    lines = read_all(path, after_line=link_limits.CHUNK_LINES + 5)
    assert lines[0].text == str(link_limits.CHUNK_LINES + 6)
    assert lines[-1].text == str(2 * link_limits.CHUNK_LINES - 1)


def test_log_chunks_are_bounded(path: Path) -> None:
    writer = make_writer(path)
    writer.feed(b"x\n" * (link_limits.CHUNK_LINES + 1))
    writer.close()
    chunk = LogReader(path).read(0)

    assert chunk is not None
    assert len(chunk.lines) == link_limits.CHUNK_LINES


def test_last_log_lines_are_the_tasks_own(path: Path) -> None:
    writer = make_writer(path)
    writer.feed(b"one\ntwo\nthree\n")
    writer.say("ours")
    writer.close()

    assert read_last_lines(path, 2) == ["two", "three"]
    assert read_last_lines(path.parent / "none", 2) == []


def partial_text(reader: LogReader) -> str | None:
    chunk = reader.read_partial()
    assert chunk is None or chunk.lines == []
    return chunk.partial.text if chunk and chunk.partial else None


def test_progress_bar_is_published_in_its_latest_state(path: Path) -> None:
    writer, reader = make_writer(path), LogReader(path)
    writer.feed(b"\rstep 1")
    writer.publish_unfinished()
    assert partial_text(reader) is None  # its line may be complete in a moment
    writer.publish_unfinished()
    assert partial_text(reader) == "step 1"

    for step in range(2, 1000):
        writer.feed(b"\rstep %d" % step)
    pending = [writer.has_unpublished]
    writer.publish_unfinished()
    pending.append(writer.has_unpublished)
    assert pending == [True, False]
    assert partial_text(reader) == "step 999"
    assert partial_text(reader) is None  # it is no new state
    writer.close()
    assert texts(path) == ["step 999"]


def test_published_line_is_gone_once_it_is_complete(path: Path) -> None:
    writer, reader = make_writer(path), LogReader(path)
    writer.feed(b"one\ntw")
    writer.publish_unfinished()
    writer.publish_unfinished()
    assert partial_text(reader) is None  # the reader has not read the line before it
    reader.read(0)
    assert partial_text(reader) == "tw"

    writer.feed(b"o\n")
    late = LogReader(path)
    late.read(0)
    assert partial_text(late) is None
    writer.publish_unfinished()
    writer.publish_unfinished()
    assert partial_text(late) is None
    writer.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_erased_progress_bar_is_not_published(path: Path) -> None:
    writer, reader = make_writer(path), LogReader(path)
    writer.feed(b"\r")
    writer.publish_unfinished()
    writer.publish_unfinished()
    assert partial_text(reader) is None
    writer.close()


def test_equal_prompts_of_two_lines_are_both_published(path: Path) -> None:
    writer, reader = make_writer(path), LogReader(path)
    shown = []
    for _ in range(2):
        writer.feed(b"password: ")
        writer.publish_unfinished()
        writer.publish_unfinished()
        shown.append(partial_text(reader))
        writer.feed(b"\n")
        reader.read(0)
    writer.close()

    assert shown == ["password: "] * 2


def test_line_written_in_pieces_is_not_published(path: Path) -> None:
    writer, reader = make_writer(path), LogReader(path)
    for _ in range(5):
        writer.feed(b"half a li")
        writer.publish_unfinished()
        writer.feed(b"ne\n")
        reader.read(0)
        assert partial_text(reader) is None
    writer.close()


@pytest.mark.parametrize("cut", range(1, len("é漢🙂x".encode()) + 1))
def test_published_line_has_no_incomplete_character(path: Path, cut: int) -> None:
    whole = "é漢🙂x"
    writer, reader = make_writer(path), LogReader(path)
    writer.feed(b"\r" + whole.encode()[:cut])
    writer.publish_unfinished()
    writer.publish_unfinished()
    writer.close()
    text = partial_text(reader) or ""

    assert whole.startswith(text)


def test_full_disk_only_hides_the_unfinished_line(path: Path) -> None:
    writer, reader = make_writer(path), LogReader(path)
    path.with_suffix(".partial").mkdir()  # which cannot be replaced by a file
    writer.feed(b"step 1")
    writer.publish_unfinished()
    writer.publish_unfinished()
    assert partial_text(reader) is None
    writer.close()

    assert texts(path) == ["step 1"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["log.jsonl", "log.partial"]


@pytest.mark.parametrize(
    "damage",
    [
        b"garbage",
        b"\0" * 5000,
        b"\xff\xfe\x80",
        b'{"t":1,"m":"cut he',
        b"x" * (3 * MAX_LINE_BYTES),
        b"x\n" * (3 * link_limits.CHUNK_LINES),
    ],
    ids=["words", "nuls", "invalid-utf8", "truncated", "huge", "lines"],
)
def test_damaged_part_of_the_log_is_left_out(path: Path, damage: bytes) -> None:
    writer, reader = make_writer(path), LogReader(path)
    shown: list[str] = []
    writer.feed(b"one\n")
    append(path, damage)
    while chunk := reader.read(0):  # while it is damaged
        shown += [line.text for line in chunk.lines]
    append(path, b"\n")
    writer.feed(b"two\nthree\n")
    writer.close()
    while chunk := reader.read(0):
        shown += [line.text for line in chunk.lines]

    assert shown == ["one", DAMAGED, "two", "three"]
    assert texts(path) == shown
    last = read_raw(path).count(b"\n")
    assert [line.text for line in read_all(path, after_line=last - 1)] == ["three"]
    assert read_last_lines(path, 2) == ["two", "three"]


@pytest.mark.parametrize("damage", [b"\0" * 5000, b'{"t":1,"m":"cut he'], ids=["nuls", "cut"])
def test_log_line_written_after_a_power_cut_is_read(path: Path, damage: bytes) -> None:
    append(path, damage)
    writer = make_writer(path)
    writer.feed(b"one\n")
    writer.close()

    assert texts(path) == [DAMAGED, "one"]


async def test_log_replaced_by_a_pipe_is_no_log(path: Path) -> None:
    os.mkfifo(path)

    assert LogReader(path).read(0) is None
    assert read_last_lines(path, 5) == []
    with pytest.raises(FileNotFoundError):
        await pack_log(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"after_line":0}',
        b'{"after_line":0,"line":5}',
        b'{"after_line":0,"line":"x"}',
    ],
)
def test_damaged_unfinished_line_is_not_shown(path: Path, content: bytes) -> None:
    path.with_suffix(".partial").write_bytes(content)
    assert LogReader(path).read_partial() is None
