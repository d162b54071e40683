"""Log line formats: text and JSON."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from shared.kit import logs
from shared.kit.log_context import log_fields


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, factory = list(root.handlers), root.level, logging.getLogRecordFactory()
    # The SDK, once another test has imported it, adds fields of its own to every record.
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(factory)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(*, level: str = "info", json_lines: bool = False) -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level=level, json_lines=json_lines, stream=stream)
    return stream


def test_text_log_line_has_time_level_message_and_fields() -> None:
    stream = lines()
    logging.getLogger("any").info("agent connected", extra={"cluster": "local", "epoch": 3})
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} INFO    agent connected  cluster=local epoch=3\n",
        stream.getvalue(),
    )


def test_text_log_field_cannot_forge_lines_or_fields() -> None:
    stream = lines()
    logging.getLogger("any").info("said", extra={"what": "a b=c\n12:00 ERROR", "nothing": ""})
    assert stream.getvalue().endswith('said  what="a b=c\\n12:00 ERROR" nothing=""\n')


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\x9b2J", "a\u2028b", "\u202eb", "a\x7f", "a\0b", "\ud800"]
)
def test_text_log_line_is_printable_whatever_a_field_or_an_exception_contains(text: str) -> None:
    stream = lines()
    logging.getLogger("any").info("said", extra={"what": text})
    try:
        raise ValueError(f"{text}\n12:00:00.000 ERROR   forged")  # noqa: TRY301
    except ValueError:
        logging.getLogger("any").exception("it broke")
    written = stream.getvalue().splitlines()
    assert all(line.isprintable() for line in written)
    assert [line[:2] for line in written].count("  ") == len(written) - 2  # the traceback's
    assert not any(line.startswith("12:00:00.000 ERROR   forged") for line in written)


def test_json_log_has_an_object_per_line() -> None:
    stream = lines(json_lines=True)
    logging.getLogger("any").warning("agent gone", extra={"cluster": "local", "level": "forged"})
    line = json.loads(stream.getvalue())
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "any",
        "message": "agent gone",
        "cluster": "local",
    }


@pytest.mark.parametrize("json_lines", [False, True])
def test_log_line_includes_the_traceback(json_lines: bool) -> None:  # noqa: FBT001
    stream = lines(json_lines=json_lines)
    try:
        raise ValueError("the very reason")  # noqa: TRY301
    except ValueError:
        logging.getLogger("any").exception("it broke")
    assert "the very reason" in stream.getvalue()
    assert "Traceback" in stream.getvalue()


def test_log_below_the_level_is_dropped() -> None:
    stream = lines(level="warning")
    logging.getLogger("any").info("not this")
    logging.getLogger("httpx").info("nor this")
    assert stream.getvalue() == ""


def test_json_log_line_has_the_fields_of_the_work_that_wrote_it() -> None:
    stream = lines(json_lines=True)
    log = logging.getLogger("any")
    with log_fields(lambda: {"org": "acme", "action": "p/d/r/a0"}):
        with log_fields(lambda: {"action": "p/d/r/a1", "name": "not taken"}):
            log.info("inner", extra={"org": "its own"})
        log.info("outer")
    log.info("outside")
    inner, outer, outside = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (inner["org"], inner["action"], inner["logger"]) == ("its own", "p/d/r/a1", "any")
    assert (outer["org"], outer["action"]) == ("acme", "p/d/r/a0")
    assert "org" not in outside


def test_fields_of_work_that_logs_nothing_are_not_found() -> None:
    def fields() -> dict[str, object]:
        raise AssertionError("they were found")

    lines()
    with log_fields(fields):
        logging.getLogger("any").debug("below the level")


async def test_log_fields_reach_the_tasks_that_a_block_starts_and_no_others() -> None:
    stream = lines(json_lines=True)

    async def work(number: int) -> None:
        logging.getLogger("any").info("working", extra={"number": number})

    async with asyncio.TaskGroup() as tasks:
        with log_fields(lambda: {"org": "acme"}):
            tasks.create_task(work(1))
        tasks.create_task(work(2))
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("org") for line in written] == ["acme", None]
