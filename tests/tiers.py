"""
A pytest plugin: says which tiers ran, and under ``CI`` takes no "not today" for an answer.

Under ``CI`` it names a test as soon as it fails: pytest itself does so at the end of the run, which
one may not wait for.

A tier is a folder of ``tests/``; ``kube`` is two, for they need different things. Where
``CI`` is set, a skipped test has failed, and so has a whole run in which a tier with tests
in it ran none of them.

With ``--after-coverage``, unit tests are left out that ``make coverage`` has just run. Tests of
properties are not: there their examples were repeatable, and here they are new ones.
"""

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_STRICT = bool(os.environ.get("CI"))

_outcomes: Counter[tuple[str, str]] = Counter()
_left_out: Counter[tuple[str, str]] = Counter()  # skipped tests, by tier and reason


class _Failures:
    """Names each failed test at once."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"failed in its {report.when}: {report.nodeid}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--after-coverage",
        action="store_true",
        help="leave out unit tests that make coverage has run, but not tests of properties",
    )


@pytest.hookimpl(trylast=True)  # when there is a reporter, which workers of xdist have not
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if _STRICT and isinstance(terminal, pytest.TerminalReporter):
        config.pluginmanager.register(_Failures(terminal))


@pytest.hookimpl(trylast=True)  # when hypothesis has marked its own
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--after-coverage"):
        return
    unit = config.rootpath / "tests/unit"
    ran = [
        item
        for item in items
        if item.path.is_relative_to(unit) and item.get_closest_marker("hypothesis") is None
    ]
    config.hook.pytest_deselected(items=ran)
    left_out = set(ran)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {report.longrepr}"
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or (report.when == "setup" and not report.passed):
        tier = _tier_of(Path(report.nodeid.partition("::")[0].removeprefix("tests/")))
        _outcomes[tier, report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple | list):
            _left_out[tier, str(report.longrepr[2]).removeprefix("Skipped: ")] += 1


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
    if _left_out:
        terminalreporter.section("LEFT OUT: THIS MACHINE DID NOT TEST EVERYTHING", red=True)
        for (tier, reason), count in sorted(_left_out.items()):
            terminalreporter.line(f"{tier:<14} {count} skipped: {reason}", red=True, bold=True)


def _idle_tiers(config: pytest.Config) -> list[str]:
    """List the tiers that have tests and ran none, if all were asked for."""
    if hasattr(config, "workerinput") or config.args != config.getini("testpaths"):
        return []
    there = {_tier_of(path.relative_to(_TESTS)) for path in _TESTS.rglob("test_*.py")}
    return sorted(there - {tier for tier, _ in _outcomes})


def _tier_of(path: Path) -> str:
    """Name the tier of a file of ours, by its path below ``tests/``."""
    folders = path.parts[:-1]
    return "/".join(folders[:2] if folders[:1] == ("kube",) else folders[:1])
