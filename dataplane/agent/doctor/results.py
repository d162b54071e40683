"""Results of checks, and how to print them: one line each for people, JSON for programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, or may; worth a look
    FAIL = "FAIL"  # something will not work until the remedy is applied


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    about: str  # a word or two, the same for all results of one check
    outcome: Outcome
    text: str
    remedy: str = ""  # always set if the outcome is not OK

    def __post_init__(self) -> None:
        assert self.remedy or self.outcome is Outcome.OK  # noqa: S101 - a finding without one helps no reader


def fine(about: str, text: str) -> CheckResult:
    return CheckResult(about=about, outcome=Outcome.OK, text=text)


def warning(about: str, text: str, remedy: str) -> CheckResult:
    return CheckResult(about=about, outcome=Outcome.WARN, text=text, remedy=remedy)


def fault(about: str, text: str, remedy: str) -> CheckResult:
    return CheckResult(about=about, outcome=Outcome.FAIL, text=text, remedy=remedy)


def is_well(results: Sequence[CheckResult]) -> bool:
    return all(result.outcome is not Outcome.FAIL for result in results)


def render_text(results: Sequence[CheckResult]) -> str:
    width = max((len(result.about) for result in results), default=0)
    lines = []
    for result in results:
        lines.append(f"{result.outcome:<4}  {result.about:<{width}}  {result.text}")
        if result.remedy:
            lines.append(f"{'':<{6 + width}}  → {result.remedy}")
    return "\n".join(lines)


def render_json(results: Sequence[CheckResult]) -> str:
    return json.dumps(
        {
            "well": is_well(results),
            "findings": [
                {
                    "about": result.about,
                    "outcome": result.outcome.lower(),
                    "text": result.text,
                    "remedy": result.remedy,
                }
                for result in results
            ],
        },
        indent=2,
        ensure_ascii=False,
    )
