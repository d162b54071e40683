"""
Applies a cluster's reports as a set: one transaction for a whole frame.

``core.attempts`` decides the outcome of a report; this module locks and reads the leased
attempts, and ``outcomes`` writes the results. A report about a lease that has moved on changes
nothing, is answered as stale, and is recorded (``refused_reports``).
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Row

from controlplane.core import attempts as rules
from controlplane.core.actions import RetryPolicy
from controlplane.core.caching import CacheStatus
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import lock_dispatches
from controlplane.store.dispatch.outcomes import LeasedAttempt, write_outcomes
from controlplane.store.dispatch.refused_reports import record_refused
from controlplane.store.notify.changes import Counters, lock_free_runs, lock_runs
from controlplane.store.rows import parse_enum, parse_failure, parse_log_links
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId, RunId
from shared.model.phases import Phase
from shared.model.reports import Acknowledgement, AckStatus, Report

log = logging.getLogger(__name__)

_RUNS = statement(f"""
{given(action_id="uuid")}
SELECT d.action_id, d.run_id FROM n JOIN dispatches d ON d.org = n.org AND d.action_id = n.action_id
""")

_STATES = statement(f"""
{given(action_id="uuid")}
SELECT d.action_id, d.run_id, d.attempt, d.lease_id, d.user_failures, d.system_failures,
       d.preemptions, d.cluster, d.stop_reason IS NOT NULL AS stop_wanted, d.available_at,
       d.accepted_at, a.phase AS action_phase, a.created_at,
       a.cache_status, a.cache_serialized,
       t.phase, t.version, t.leased_at, t.started_at, t.ended_at, t.reason, t.message,
       t.error_code, t.error_kind, t.error_message, t.error_recoverable, t.error_uri,
       t.output_uri, t.report_uri, t.log_uri, t.log_links,
       s.retries, s.backoff_base, s.backoff_factor, s.backoff_cap, s.queued_timeout, s.deadline,
       s.produces_artifacts
FROM n
JOIN dispatches d ON d.org = n.org AND d.action_id = n.action_id
JOIN actions a ON a.org = d.org AND a.id = d.action_id
JOIN attempts t ON t.org = d.org AND t.action_id = d.action_id AND t.number = d.attempt
JOIN specs s ON s.org = d.org AND s.digest = a.spec
ORDER BY d.action_id FOR UPDATE OF d
""")

_ACKNOWLEDGED = statement(f"""
{given(action_id="uuid", number="integer")}
SELECT t.action_id, t.number, t.lease_id, t.version
FROM n JOIN attempts t
  ON t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
""")


@dataclass(slots=True)
class _Batch:
    """The results of a frame of reports, before they are written."""

    outcomes: list[tuple[LeasedAttempt, rules.Outcome]] = field(default_factory=list)
    acknowledgements: list[Acknowledgement] = field(default_factory=list)


async def apply_reports(
    tx: OrgTx,
    cluster: ClusterName,
    reports: Sequence[Report],
    now: datetime,
) -> Sequence[Acknowledgement]:
    """Apply a frame of reports; the answers may be sent after the commit."""
    runs = await _find_runs(tx, reports)
    counters = await lock_runs(tx, set(runs.values()))
    return await _apply(tx, cluster, counters, reports, now)


async def apply_free_reports(
    tx: OrgTx,
    cluster: ClusterName,
    reports: Sequence[Report],
    now: datetime,
    *,
    also_lock: Collection[ActionId] = (),
) -> tuple[Sequence[Acknowledgement], Sequence[Report]]:
    """
    Apply the reports whose runs no other transaction has locked.

    Returns the answers, and the remaining reports: one locked run delays no other run's.
    ``also_lock``: actions whose dispatches the transaction is going to lock next. Dispatches
    are locked by action id, so a transaction has to lock all of its dispatches together.
    """
    runs = await _find_runs(tx, reports)
    counters = await lock_free_runs(tx, set(runs.values()))
    locked = {action for action, run in runs.items() if run not in counters}
    free = [report for report in reports if report.attempt.action not in locked]
    remaining = [report for report in reports if report.attempt.action in locked]
    if not free:
        return [], remaining
    if also_lock:
        await lock_dispatches(tx, [*{*also_lock, *(report.attempt.action for report in free)}])
    return await _apply(tx, cluster, counters, free, now), remaining


async def _find_runs(tx: OrgTx, reports: Sequence[Report]) -> Mapping[ActionId, RunId]:
    await tx.plan_for(len(reports))
    rows = await tx.rows(
        _RUNS, {"action_id": sorted({report.attempt.action for report in reports})}
    )
    return {ActionId(row.action_id): RunId(row.run_id) for row in rows}


async def _apply(
    tx: OrgTx,
    cluster: ClusterName,
    counters: Counters,
    reports: Sequence[Report],
    now: datetime,
) -> Sequence[Acknowledgement]:
    action_ids = sorted({report.attempt.action for report in reports})
    leased = await _lock_states(tx, cluster, counters, action_ids)
    batch = _Batch()
    unknown = _apply_current(batch, leased, reports, now)
    answers = await _answer_unknown(tx, unknown)
    batch.acknowledgements.extend(answers)
    stale = [
        report
        for report, answer in zip(unknown, answers, strict=True)
        if answer.status is AckStatus.STALE
    ]
    await record_refused(tx, cluster, stale, now)
    if batch.outcomes:
        await write_outcomes(tx, counters, batch.outcomes, now)
    return batch.acknowledgements


async def _lock_states(
    tx: OrgTx, cluster: ClusterName, counters: Counters, action_ids: Sequence[ActionId]
) -> Mapping[AttemptId, LeasedAttempt]:
    # The cluster is compared in Python: as a condition it would lead the planner to read all
    # leases of the cluster. Without its run's row an action cannot change: its reports are stale.
    rows = await tx.rows(_STATES, {"action_id": action_ids})
    leased = (
        _parse_leased(row)
        for row in rows
        if row.cluster == cluster and RunId(row.run_id) in counters
    )
    return {each.state.attempt: each for each in leased}


def _parse_leased(row: Row[tuple[object, ...]]) -> LeasedAttempt:
    state = rules.AttemptState(
        attempt=AttemptId(row.action_id, row.attempt),
        phase=parse_enum(row.phase, Phase.UNKNOWN),
        version=row.version,
        leased_at=row.leased_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        reason=row.reason,
        message=row.message,
        failure=parse_failure(row),
        output_uri=row.output_uri,
        report_uri=row.report_uri,
        log_uri=row.log_uri,
        log_links=parse_log_links(row),
        action_phase=parse_enum(row.action_phase, Phase.UNKNOWN),
        failures=rules.Failures(
            user=row.user_failures, system=row.system_failures, preemption=row.preemptions
        ),
        policy=RetryPolicy(
            retries=row.retries,
            backoff_base=row.backoff_base,
            backoff_factor=row.backoff_factor,
            backoff_cap=row.backoff_cap,
            queued_timeout=row.queued_timeout,
            deadline=row.deadline,
        ),
        stop_requested=row.stop_wanted,
    )
    return LeasedAttempt(
        run=RunId(row.run_id),
        lease=LeaseId(row.lease_id),
        created_at=row.created_at,
        available_at=row.available_at,
        accepted_at=row.accepted_at,
        cache_status=parse_enum(row.cache_status, CacheStatus.DISABLED),
        produces_artifacts=row.produces_artifacts,
        is_serialized=row.cache_serialized,
        state=state,
    )


def _apply_current(
    batch: _Batch,
    leased: Mapping[AttemptId, LeasedAttempt],
    reports: Sequence[Report],
    now: datetime,
) -> list[Report]:
    """Apply the reports of current leases; return the others."""
    by_attempt: dict[AttemptId, list[Report]] = defaultdict(list)
    unknown: list[Report] = []
    for report in reports:
        known = leased.get(report.attempt)
        if known is None or known.lease != report.lease:
            unknown.append(report)
        elif Phase.UNKNOWN in (known.state.phase, known.state.action_phase):
            # Not acknowledged, so that the agent sends it again: to a replica that can read
            # the row, once the upgrade is through.
            log.warning(
                "report refused: row written by a later release",
                extra={"action": report.attempt.action, "attempt": report.attempt.number},
            )
        else:
            by_attempt[report.attempt].append(report)
    for attempt, reported in by_attempt.items():
        outcome = rules.apply(leased[attempt].state, reported, now)
        applied = {report.version for report in outcome.applied}
        batch.acknowledgements.extend(
            Acknowledgement(
                attempt,
                report.version,
                AckStatus.APPLIED if report.version in applied else AckStatus.REPEATED,
            )
            for report in reported
        )
        if outcome.applied:
            batch.outcomes.append((leased[attempt], outcome))
    return unknown


async def _answer_unknown(tx: OrgTx, reports: Sequence[Report]) -> list[Acknowledgement]:
    """Answer reports without a current lease: repeats of applied ones, and stale ones."""
    if not reports:
        return []
    rows = await tx.rows(
        _ACKNOWLEDGED,
        {
            "action_id": [report.attempt.action for report in reports],
            "number": [report.attempt.number for report in reports],
        },
    )
    acknowledged = {(row.action_id, row.number, row.lease_id): row.version for row in rows}
    return [
        Acknowledgement(
            report.attempt,
            report.version,
            AckStatus.REPEATED
            if acknowledged.get((report.attempt.action, report.attempt.number, report.lease), 0)
            >= report.version
            else AckStatus.STALE,
        )
        for report in reports
    ]
