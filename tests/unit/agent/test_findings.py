"""Findings of the agent's checks: what is kept, when they are checked and when they are sent."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from dataplane.agent.core.software import describe_software
from dataplane.agent.loops.findings import FindingsLoop
from shared.kit.wakeup import Wakeup
from shared.model.findings import (
    MAX_ABOUT,
    MAX_FINDINGS,
    MAX_TEXT,
    Finding,
    FindingOutcome,
    Findings,
    bound_findings,
)
from shared.wire.findings import parse_findings, render_findings
from tests.fakes.clock import FakeClock
from tests.running import running, until
from tests.unit.agent.assignments import NOW

FINE = Finding(about="kubernetes", outcome=FindingOutcome.OK, text="it answers")
FAULT = Finding(
    about="permissions", outcome=FindingOutcome.FAULT, text="may not create pods", remedy="grant it"
)


def test_findings_are_bounded_and_the_worst_are_kept() -> None:
    long = Finding(about="a" * 1000, outcome=FindingOutcome.OK, text="é" * 9000, remedy="r" * 9000)
    kept = bound_findings([*[long] * 200, FAULT])
    assert len(kept) == MAX_FINDINGS
    assert kept[0] == FAULT
    assert (len(kept[1].about), len(kept[1].text), len(kept[1].remedy)) == (
        MAX_ABOUT,
        MAX_TEXT,
        MAX_TEXT,
    )


def test_findings_of_any_size_are_cut_when_they_arrive() -> None:
    message = render_findings(Findings([FINE, FAULT], NOW))
    assert parse_findings(message) == Findings([FAULT, FINE], NOW)
    for _ in range(1000):
        message.findings.add(about="a\0b", text="t" * 100_000, outcome=77)
    found = parse_findings(message).findings
    assert len(found) == MAX_FINDINGS
    assert {each.outcome for each in found[2:]} == {FindingOutcome.UNKNOWN}
    assert sum(len(each.text) for each in found) < MAX_FINDINGS * MAX_TEXT


def test_software_names_the_release_of_the_distribution() -> None:
    name, _, release = describe_software().partition(" ")
    assert name == "volary-agent"
    assert release[0].isdigit()


class Checks:
    def __init__(self) -> None:
        self.found: Sequence[Finding] = [FINE]
        self.skews: list[timedelta | None] = []
        self.error: Exception | None = None

    async def __call__(self, skew: timedelta | None) -> Sequence[Finding]:
        self.skews.append(skew)
        if self.error is not None:
            raise self.error
        return self.found


async def test_unchanged_findings_are_not_sent_again() -> None:
    checks, clock = Checks(), FakeClock(NOW)
    findings = FindingsLoop(checks, Wakeup(), clock)
    await findings.run_once()
    first = findings.latest
    clock.advance(timedelta(minutes=10))
    await findings.run_once()
    assert findings.latest is first
    checks.found = [FINE, FAULT]
    await findings.run_once()
    assert findings.latest == Findings([FAULT, FINE], NOW + timedelta(minutes=10))


async def test_check_that_fails_ends_neither_the_agent_nor_its_findings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checks = Checks()
    findings = FindingsLoop(checks, Wakeup(), FakeClock(NOW))
    await findings.run_once()
    checks.error = OSError("no such file")
    await findings.run_once()
    assert findings.latest is not None
    assert "checks of the agent failed" in caplog.text


async def test_first_session_starts_a_check_with_the_skew_and_reconnects_start_none() -> None:
    checks = Checks()
    findings = FindingsLoop(checks, Wakeup(), FakeClock(NOW))
    async with running(findings):
        await until(lambda: checks.skews == [None])
        findings.note_skew(timedelta(seconds=3))
        await until(lambda: len(checks.skews) == 2)
        findings.note_skew(timedelta(seconds=4))
        await asyncio.sleep(0)
        assert checks.skews == [None, timedelta(seconds=3)]
