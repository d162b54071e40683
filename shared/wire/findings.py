"""Findings of the agent's checks to messages of the link and back."""

from collections.abc import Sequence

from shared.idl.agent.v1 import link_pb2
from shared.kit.timestamps import to_us
from shared.model.findings import (
    MAX_ABOUT,
    MAX_FINDINGS,
    MAX_TEXT,
    Finding,
    FindingOutcome,
    Findings,
    bound_findings,
)
from shared.wire.fields import parse_timestamp, parse_words

_OUTCOMES = {each.value: each for each in FindingOutcome}


def render_findings(findings: Findings) -> link_pb2.Findings:
    return link_pb2.Findings(
        findings=[
            link_pb2.Finding(
                about=each.about,
                outcome=link_pb2.Finding.Outcome.Name(each.outcome.value),
                text=each.text,
                remedy=each.remedy,
            )
            for each in bound_findings(findings.findings)
        ],
        checked_at_us=to_us(findings.checked_at),
    )


def parse_findings(message: link_pb2.Findings) -> Findings:
    """Return the findings, cut to their limits; BadMessageError for an invalid field."""
    return Findings(_parse(message.findings[:MAX_FINDINGS]), parse_timestamp(message.checked_at_us))


def _parse(findings: Sequence[link_pb2.Finding]) -> Sequence[Finding]:
    return bound_findings(
        [
            Finding(
                about=parse_words(each.about, MAX_ABOUT),
                outcome=_OUTCOMES.get(each.outcome, FindingOutcome.UNKNOWN),
                text=parse_words(each.text, MAX_TEXT),
                remedy=parse_words(each.remedy, MAX_TEXT),
            )
            for each in findings
        ]
    )
