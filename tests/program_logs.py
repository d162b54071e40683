"""
A pytest plugin: a failed test shows what the programs that it used logged meanwhile.

Whoever starts a program of the system under test calls :func:`follow` with its log. The report
of a failed test then gets a section for each log that grew since the test's setup began: the
last lines of it. A followed directory stands for the logs of attempts below it.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

_SHOWN_BYTES = 12_000  # of each log
_SHOWN_LOGS = 12  # of those that grew, the latest

_followed: dict[Path, str] = {}  # name of the program, by its log
_sizes: dict[Path, int] = {}  # of each log when the test's setup began; 0 for later ones


def follow(name: str, path: Path) -> None:
    """Show the end of this log, or of all logs of attempts below this directory, on failure."""
    _followed[path] = name


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _sizes.clear()
    _sizes.update({log: log.stat().st_size for log, _ in _logs()})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        grown = [(log, name) for log, name in _logs() if log.stat().st_size > _sizes.get(log, 0)]
        grown.sort(key=lambda each: each[0].stat().st_mtime)
        for log, name in grown[-_SHOWN_LOGS:]:
            report.sections.append((f"{name} logged ({log})", _read_end(log)))
    return report


def _logs() -> Iterator[tuple[Path, str]]:
    for path, name in list(_followed.items()):
        if path.is_dir():
            for pattern in ("*/log.jsonl", "*/shim.txt"):
                yield from ((log, f"{name} {log.parent.name}") for log in path.glob(pattern))
        elif path.exists():
            yield path, name


def _read_end(log: Path) -> str:
    """Read what was logged since the setup, without the beginning if that is much."""
    with log.open("rb") as file:
        size = log.stat().st_size
        start = max(_sizes.get(log, 0), size - _SHOWN_BYTES)
        file.seek(start)
        return file.read().decode(errors="replace")
