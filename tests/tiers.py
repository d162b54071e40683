"""
A pytest plugin: says which tiers ran, and under ``CI`` takes no "not today" for an answer.

A tier is a folder of ``tests/``. Where ``CI`` is set, a skipped test has failed, and so has
a whole run in which a tier with tests in it ran none of them.
"""

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_STRICT = bool(os.environ.get("CI"))

_outcomes: Counter[tuple[str, str]] = Counter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {report.longrepr}"
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or (report.when == "setup" and not report.passed):
        tier = report.nodeid.removeprefix("tests/").split("/")[0]
        _outcomes[tier, report.outcome] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _STRICT and _idle_tiers(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    terminalreporter.section("tiers")
    for tier in sorted({tier for tier, _ in _outcomes}):
        counts = ", ".join(
            f"{count} {outcome}" for (of, outcome), count in sorted(_outcomes.items()) if of == tier
        )
        terminalreporter.line(f"{tier:<14} {counts}")
    for tier in _idle_tiers(config):
        terminalreporter.line(f"{tier:<14} RAN NOTHING", red=True)


def _idle_tiers(config: pytest.Config) -> list[str]:
    """List the tiers that have tests and ran none, if all were asked for."""
    if hasattr(config, "workerinput") or config.args != config.getini("testpaths"):
        return []
    there = {path.relative_to(_TESTS).parts[0] for path in _TESTS.rglob("test_*.py")}
    set_aside = {pattern.removeprefix("tests/") for pattern in config.getini("norecursedirs")}
    return sorted(there - set_aside - {tier for tier, _ in _outcomes})
