"""
Pytest plugin that adds the logs of the programs under test to the report of a failed test.

Code that starts a program of the system under test calls :func:`follow` with its log. The report
of a failed test then gets a section for each log that grew since the test's setup began: the
last lines of it. A followed directory stands for the logs of attempts below it.
"""

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

_SHOWN_BYTES = 12_000  # of each log
_SHOWN_LOGS = 12  # of those that grew, the latest

_followed: dict[Path, str] = {}  # name of the program, by its log
_sizes: dict[Path, int] = {}  # of each log when the test's setup began; 0 for later ones
_began_at = 0.0


def follow(name: str, path: Path) -> None:
    """Show the end of this log, or of all logs of attempts below this directory, on failure."""
    _followed[path] = name


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    global _began_at  # noqa: PLW0603 -- a plugin is a module, and has one test at a time
    _began_at = time.time()  # noqa: TID251 -- compared with what the file system wrote
    _sizes.clear()
    _sizes.update((log, _measure(log)[0]) for log in _followed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        grown = []
        for log, name in _logs():
            size, changed_at = _measure(log)
            if size > _sizes.get(log, 0) and changed_at >= _began_at - 1:
                grown.append((changed_at, log, name))
        for _, log, name in sorted(grown)[-_SHOWN_LOGS:]:
            report.sections.append((f"{name} logged ({log})", _read_end(log)))
    return report


def _logs() -> Iterator[tuple[Path, str]]:
    for path, name in list(_followed.items()):
        if not path.is_dir():
            yield path, name
            continue
        for pattern in ("*/log.jsonl", "*/shim.txt"):
            try:
                logs = list(path.glob(pattern))
            except FileNotFoundError:
                continue  # an agent removes what has ended
            yield from ((log, f"{name} {log.parent.name}") for log in logs)


def _measure(log: Path) -> tuple[int, float]:
    """Return how long it is and when it changed; (0, 0) if it is gone, or a directory."""
    try:
        found = log.stat()
    except FileNotFoundError:
        return 0, 0.0
    return (0, 0.0) if log.is_dir() else (found.st_size, found.st_mtime)


def _read_end(log: Path) -> str:
    """Read what was logged since the setup, without the beginning if that is much."""
    try:
        with log.open("rb") as file:
            file.seek(max(_sizes.get(log, 0), _measure(log)[0] - _SHOWN_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return "it was removed at this moment"
