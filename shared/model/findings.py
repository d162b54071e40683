"""Findings of the agent's checks of its cluster: a line each, with a remedy unless it is fine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

MAX_FINDINGS = 50
"""Findings of one report; the worst come first, the rest is dropped."""
MAX_ABOUT = 40
MAX_TEXT = 500
"""Characters of a text and of a remedy; the rest is cut off."""


class FindingOutcome(IntEnum):
    """Outcome of a check; the numbers are on the wire and in the store."""

    UNKNOWN = 0  # of a later release
    OK = 1
    WARNING = 2  # it works, or may
    FAULT = 3  # something does not work until the remedy is applied


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    about: str  # a word or two, the same for all findings of one check
    outcome: FindingOutcome
    text: str
    remedy: str = ""  # "" if it is fine


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one round of checks found; the worst first."""

    findings: Sequence[Finding]
    checked_at: datetime


def bound_findings(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return the worst MAX_FINDINGS, the worst first, with their texts cut to the limits."""
    worst = sorted(findings, key=lambda each: -each.outcome)[:MAX_FINDINGS]
    return [
        Finding(
            about=each.about[:MAX_ABOUT],
            outcome=each.outcome,
            text=each.text[:MAX_TEXT],
            remedy=each.remedy[:MAX_TEXT],
        )
        for each in worst
    ]
