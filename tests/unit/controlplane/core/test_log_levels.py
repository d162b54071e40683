"""The level of a log line is what the line names at its beginning."""

import re

import pytest

from controlplane.core.log_levels import LogLevel, find_level, pattern_of


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026-11-29 12:00:00,123 INFO root: begun", "info"),
        ("[WARN] low on memory", "warning"),
        ("ERROR: it failed", "error"),
        ('{"level": "error", "msg": "x"}', "error"),
        ("level=debug msg=x", "debug"),
        ("Traceback (most recent call last):", "error"),
        ("ValueError: no", "error"),
        ("my.own.StrangeException: no", "error"),
        ("CRITICAL", "error"),
        ("an error occurred", None),
        ("INFORMATION", None),
        ("x" * 300 + " ERROR", None),
        ("", None),
    ],
)
def test_log_level_is_the_one_that_a_line_names(text: str, level: str | None) -> None:
    assert find_level(text) == level
    if level is not None:
        assert re.search(pattern_of(frozenset({LogLevel(level)})), text)
