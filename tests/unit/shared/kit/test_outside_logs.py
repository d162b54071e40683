"""Log lines that strangers cause are bounded, and their number is not lost."""

import logging

import pytest

from shared.kit.outside_logs import OutsideLog


def test_lines_of_a_message_are_bounded_by_the_minute_and_the_rest_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [100.0]
    log = OutsideLog(logging.getLogger("outside"), lines_a_minute=2, seconds=lambda: now[0])
    with caplog.at_level(logging.INFO, "outside"):
        for peer in range(1_000):
            log.warning("enrolment refused", extra={"peer": str(peer)})
        log.info("login failed", extra={"peer": "other"})
        now[0] += 60
        log.warning("enrolment refused", extra={"peer": "late"})
        log.warning("enrolment refused", extra={"peer": "later"})
    lines = [
        (line.message, vars(line)["peer"], vars(line).get("left_out")) for line in caplog.records
    ]
    assert lines == [
        ("enrolment refused", "0", None),
        ("enrolment refused", "1", None),
        ("login failed", "other", None),
        ("enrolment refused", "late", 998),
        ("enrolment refused", "later", None),
    ]
    assert [line.levelname for line in caplog.records].count("INFO") == 1
