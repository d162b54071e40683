"""What a check has found, and how it is told: to people a line each, to programs as JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, or may; somebody should look
    FAIL = "FAIL"  # something will not work until somebody has done what is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    about: str  # a word or two, the same for all findings of one check
    outcome: Outcome
    text: str
    remedy: str = ""  # with what is not OK, always

    def __post_init__(self) -> None:
        assert self.remedy or self.outcome is Outcome.OK  # noqa: S101 - or nobody is helped


def fine(about: str, text: str) -> Finding:
    return Finding(about=about, outcome=Outcome.OK, text=text)


def doubt(about: str, text: str, remedy: str) -> Finding:
    return Finding(about=about, outcome=Outcome.WARN, text=text, remedy=remedy)


def fault(about: str, text: str, remedy: str) -> Finding:
    return Finding(about=about, outcome=Outcome.FAIL, text=text, remedy=remedy)


def is_well(findings: Sequence[Finding]) -> bool:
    return all(finding.outcome is not Outcome.FAIL for finding in findings)


def render_text(findings: Sequence[Finding]) -> str:
    width = max((len(finding.about) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{finding.outcome:<4}  {finding.about:<{width}}  {finding.text}")
        if finding.remedy:
            lines.append(f"{'':<{6 + width}}  → {finding.remedy}")
    return "\n".join(lines)


def render_json(findings: Sequence[Finding]) -> str:
    return json.dumps(
        {
            "well": is_well(findings),
            "findings": [
                {
                    "about": finding.about,
                    "outcome": finding.outcome.lower(),
                    "text": finding.text,
                    "remedy": finding.remedy,
                }
                for finding in findings
            ],
        },
        indent=2,
        ensure_ascii=False,
    )
