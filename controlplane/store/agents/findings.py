"""Keeps the latest findings of each cluster's agent: one row for each cluster."""

import json
from datetime import datetime

from controlplane.core.clusters import ReportedFindings
from controlplane.store.database import OrgTx
from controlplane.store.rows import parse_enum
from controlplane.store.statements import statement
from shared.model.findings import Finding, FindingOutcome, Findings
from shared.model.ids import ClusterName

_SAVE = statement("""
INSERT INTO agent_findings (org, cluster, findings, checked_at, received_at)
VALUES (:org, :cluster, CAST(:findings AS jsonb), :checked_at, :now)
ON CONFLICT (org, cluster) DO UPDATE
SET findings = EXCLUDED.findings, checked_at = EXCLUDED.checked_at,
    received_at = EXCLUDED.received_at
""")

_FIND = statement("""
SELECT findings, checked_at, received_at FROM agent_findings WHERE org = :org AND cluster = :cluster
""")


async def save_findings(tx: OrgTx, cluster: ClusterName, findings: Findings, now: datetime) -> None:
    """Store the findings of a cluster whose session the transaction has locked."""
    rows = [
        {
            "about": each.about,
            "outcome": each.outcome.value,
            "text": each.text,
            "remedy": each.remedy,
        }
        for each in findings.findings
    ]
    values = {"cluster": cluster, "findings": json.dumps(rows), "checked_at": findings.checked_at}
    await tx.execute(_SAVE, {**values, "now": now})


async def find_findings(tx: OrgTx, cluster: ClusterName) -> ReportedFindings | None:
    """Return the latest findings of a cluster's agent; None if it has sent none."""
    rows = await tx.rows(_FIND, {"cluster": cluster})
    if not rows:
        return None
    return ReportedFindings(
        findings=[
            Finding(
                about=each["about"],
                outcome=parse_enum(each["outcome"], FindingOutcome.UNKNOWN),
                text=each["text"],
                remedy=each["remedy"],
            )
            for each in rows[0].findings
        ],
        checked_at=rows[0].checked_at,
        received_at=rows[0].received_at,
    )
