"""
Reports from a cluster, taken in as a set: one transaction for a whole frame of them.

What a report does is decided in ``core.attempts``; here it is read, locked and written.
Every write names the lease and is guarded by the phase table, so that a report of a lease
that has moved on changes nothing and is answered as stale.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row

from controlplane.core import attempts as rules
from controlplane.core.actions import RetryPolicy
from controlplane.core.timeouts import due_at
from controlplane.store.aborts import end_descendants
from controlplane.store.changes import Counters, lock_runs, tell
from controlplane.store.database import OrgTx
from controlplane.store.guards import may_be_retried, may_become
from controlplane.store.rows import parse_failure, parse_log_links
from controlplane.store.statements import FAILURE, given, statement
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId, RunId
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import Acknowledgement, Report, Verdict

_RUNS = statement(f"""
{given(action_id="uuid")}
SELECT DISTINCT d.run_id FROM n JOIN dispatches d ON d.org = n.org AND d.action_id = n.action_id
""")

_STATES = statement(f"""
{given(action_id="uuid")}
SELECT d.action_id, d.run_id, d.attempt, d.lease_id, d.user_failures, d.system_failures,
       d.preemptions, d.cluster, d.stop_reason IS NOT NULL AS stop_wanted, d.available_at,
       d.accepted_at, a.phase AS action_phase, a.created_at,
       t.phase, t.version, t.leased_at, t.started_at, t.ended_at, t.reason, t.message,
       t.error_code, t.error_kind, t.error_message, t.error_recoverable, t.error_uri,
       t.output_uri, t.report_uri, t.log_uri, t.log_links,
       s.retries, s.backoff_base, s.backoff_factor, s.backoff_cap, s.queued_timeout, s.deadline
FROM n
JOIN dispatches d ON d.org = n.org AND d.action_id = n.action_id
JOIN actions a ON a.org = d.org AND a.id = d.action_id
JOIN attempts t ON t.org = d.org AND t.action_id = d.action_id AND t.number = d.attempt
JOIN specs s ON s.org = d.org AND s.digest = a.spec
ORDER BY d.action_id FOR UPDATE OF d
""")

_SETTLED = statement(f"""
{given(action_id="uuid", number="integer")}
SELECT t.action_id, t.number, t.lease_id, t.version
FROM n JOIN attempts t
  ON t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
""")

_WRITE_ATTEMPTS = statement(f"""
{given(
    action_id="uuid", number="integer", lease_id="uuid", phase="smallint", version="integer",
    accepted_at_="timestamptz", started_at_="timestamptz", ended_at_="timestamptz", reason="text", message="text",
    output_uri="text", report_uri="text", log_uri="text", log_links="jsonb",
    **FAILURE,
)}
UPDATE attempts t
SET phase = n.phase, version = n.version, accepted_at = n.accepted_at,
    started_at = n.started_at, ended_at = n.ended_at, reason = n.reason, message = n.message,
    error_code = n.error_code, error_kind = n.error_kind, error_message = n.error_message,
    error_recoverable = n.error_recoverable, error_uri = n.error_uri,
    output_uri = n.output_uri, report_uri = n.report_uri, log_uri = n.log_uri,
    log_links = n.log_links
FROM n
WHERE t.org = n.org AND t.action_id = n.action_id AND t.number = n.number
  AND t.lease_id = n.lease_id AND t.version < n.version
""")  # fmt: skip

_WRITE_EVENTS = statement(f"""
{given(
    action_id="uuid", attempt="integer", version="integer", at_="timestamptz", phase="smallint",
    reason="text", message="text", events="jsonb",
)}
INSERT INTO action_events (org, action_id, attempt, version, at, phase, reason, message, events)
SELECT n.org, n.action_id, n.attempt, n.version, n.at, n.phase, n.reason, n.message, n.events
FROM n ON CONFLICT DO NOTHING
""")  # fmt: skip

_WRITE_ACTIONS = statement(f"""
{given(
    id="uuid", phase="smallint", attempts="integer", change="bigint", started_at_="timestamptz",
    ended_at_="timestamptz", due_at_="timestamptz", output_uri="text", report_uri="text",
    **FAILURE,
)}
UPDATE actions a
SET phase = n.phase, attempts = n.attempts, change = n.change, updated_at = :now,
    due_at = n.due_at, started_at = COALESCE(a.started_at, n.started_at), ended_at = n.ended_at,
    output_uri = n.output_uri, report_uri = n.report_uri, error_code = n.error_code,
    error_kind = n.error_kind, error_message = n.error_message,
    error_recoverable = n.error_recoverable, error_uri = n.error_uri
FROM n
WHERE a.org = n.org AND a.id = n.id
  AND ({may_become("a.phase", "n.phase")}
       OR (n.phase = {Phase.QUEUED.value} AND n.attempts = a.attempts + 1
           AND {may_be_retried("a.phase")}))
RETURNING a.id
""")  # fmt: skip

_RETRY = statement(f"""
{given(
    action_id="uuid", attempt="integer", available_at_="timestamptz", user_failures="integer",
    system_failures="integer", preemptions="integer",
)}
UPDATE dispatches d
SET attempt = n.attempt, available_at = n.available_at, user_failures = n.user_failures,
    system_failures = n.system_failures, preemptions = n.preemptions,
    lease_id = NULL, cluster = NULL, leased_at = NULL, accepted_at = NULL,
    stop_reason = NULL, stop_at = NULL, missing_since = NULL
FROM n
WHERE d.org = n.org AND d.action_id = n.action_id AND d.attempt = n.attempt - 1
""")  # fmt: skip

_END = statement(f"""
{given(action_id="uuid")}
DELETE FROM dispatches d USING n WHERE d.org = n.org AND d.action_id = n.action_id
RETURNING d.limited
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A leased attempt with what is needed to write it back."""

    run: RunId
    lease: LeaseId
    created_at: datetime  # the action
    available_at: datetime
    accepted_at: datetime | None
    state: rules.AttemptState


@dataclass(slots=True)
class _Batch:
    """What a frame of reports comes to, before it is written."""

    outcomes: list[tuple[_Held, rules.Outcome]] = field(default_factory=list)
    acknowledgements: list[Acknowledgement] = field(default_factory=list)


async def apply_reports(
    tx: OrgTx, cluster: ClusterName, reports: Sequence[Report], now: datetime
) -> Sequence[Acknowledgement]:
    """Take in a frame of reports; the answers may be sent once this is committed."""
    action_ids = sorted({report.attempt.action for report in reports})
    runs = await tx.rows(_RUNS, {"action_id": action_ids})
    counters = await lock_runs(tx, [RunId(row.run_id) for row in runs])
    held = await _lock_states(tx, cluster, action_ids)
    batch = _Batch()
    unknown = _sort_out(batch, held, reports, now)
    batch.acknowledgements.extend(await _answer_unknown(tx, unknown))
    if batch.outcomes:
        await _write(tx, counters, batch.outcomes, now)
    return batch.acknowledgements


async def _lock_states(
    tx: OrgTx, cluster: ClusterName, action_ids: Sequence[ActionId]
) -> Mapping[AttemptId, _Held]:
    # The cluster is compared here: as a condition it would lead the planner to everything
    # that the cluster holds.
    rows = await tx.rows(_STATES, {"action_id": action_ids})
    held = (_parse_held(row) for row in rows if row.cluster == cluster)
    return {each.state.attempt: each for each in held}


def _parse_held(row: Row[tuple[object, ...]]) -> _Held:
    state = rules.AttemptState(
        attempt=AttemptId(row.action_id, row.attempt),
        phase=Phase(row.phase),
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
        action_phase=Phase(row.action_phase),
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
        stop_wanted=row.stop_wanted,
    )
    return _Held(
        run=RunId(row.run_id),
        lease=LeaseId(row.lease_id),
        created_at=row.created_at,
        available_at=row.available_at,
        accepted_at=row.accepted_at,
        state=state,
    )


def _sort_out(
    batch: _Batch, held: Mapping[AttemptId, _Held], reports: Sequence[Report], now: datetime
) -> list[Report]:
    """Apply what belongs to a current lease; return what does not."""
    by_attempt: dict[AttemptId, list[Report]] = defaultdict(list)
    unknown: list[Report] = []
    for report in reports:
        known = held.get(report.attempt)
        if known is None or known.lease != report.lease:
            unknown.append(report)
        else:
            by_attempt[report.attempt].append(report)
    for attempt, said in by_attempt.items():
        outcome = rules.apply(held[attempt].state, said, now)
        news = {report.version for report in outcome.applied}
        batch.acknowledgements.extend(
            Acknowledgement(
                attempt,
                report.version,
                Verdict.APPLIED if report.version in news else Verdict.REPEATED,
            )
            for report in said
        )
        if outcome.applied:
            batch.outcomes.append((held[attempt], outcome))
    return unknown


async def _answer_unknown(tx: OrgTx, reports: Sequence[Report]) -> list[Acknowledgement]:
    """Tell a repeat of what is settled from a word about a lease that has moved on."""
    if not reports:
        return []
    rows = await tx.rows(
        _SETTLED,
        {
            "action_id": [report.attempt.action for report in reports],
            "number": [report.attempt.number for report in reports],
        },
    )
    settled = {(row.action_id, row.number, row.lease_id): row.version for row in rows}
    return [
        Acknowledgement(
            report.attempt,
            report.version,
            Verdict.REPEATED
            if settled.get((report.attempt.action, report.attempt.number, report.lease), 0)
            >= report.version
            else Verdict.STALE,
        )
        for report in reports
    ]


async def _write(
    tx: OrgTx,
    counters: Counters,
    outcomes: Sequence[tuple[_Held, rules.Outcome]],
    now: datetime,
) -> None:
    await _write_attempts(tx, outcomes)
    await _write_events(tx, outcomes)
    moved = await _write_actions(tx, counters, outcomes, now)
    ended = [o.state.attempt.action for _, o in outcomes if o.following is rules.Next.END]
    retried = [o for _, o in outcomes if o.following is rules.Next.RETRY]
    room = False  # where a limit may have held others back
    if ended:
        room = any(row.limited for row in await tx.rows(_END, {"action_id": ended}))
    if retried:
        await tx.execute(
            _RETRY,
            {
                "action_id": [o.state.attempt.action for o in retried],
                "attempt": [o.state.attempt.number + 1 for o in retried],
                "available_at_": [o.available_at for o in retried],
                "user_failures": [o.state.failures.user for o in retried],
                "system_failures": [o.state.failures.system for o in retried],
                "preemptions": [o.state.failures.preemption for o in retried],
            },
        )
    parents = {
        o.state.attempt.action: held.run
        for held, o in outcomes
        if o.state.attempt.action in moved and o.state.action_phase in TERMINAL
    }
    stops = await end_descendants(tx, counters, parents, now)
    await tell(tx, counters, work=bool(retried) or room, stops=stops)


async def _write_attempts(tx: OrgTx, outcomes: Sequence[tuple[_Held, rules.Outcome]]) -> None:
    states = [outcome.state for _, outcome in outcomes]
    await tx.execute(
        _WRITE_ATTEMPTS,
        {
            "action_id": [state.attempt.action for state in states],
            "number": [state.attempt.number for state in states],
            "lease_id": [held.lease for held, _ in outcomes],
            "phase": [state.phase.value for state in states],
            "version": [state.version for state in states],
            "accepted_at_": [held.accepted_at for held, _ in outcomes],
            "started_at_": [state.started_at for state in states],
            "ended_at_": [state.ended_at for state in states],
            "reason": [state.reason for state in states],
            "message": [state.message for state in states],
            "output_uri": [state.output_uri for state in states],
            "report_uri": [state.report_uri for state in states],
            "log_uri": [state.log_uri for state in states],
            "log_links": [
                json.dumps([[link.name, link.uri] for link in state.log_links]) for state in states
            ],
            **_failure_arrays(states),
        },
    )


def _failure_arrays(states: Sequence[rules.AttemptState]) -> dict[str, list[object]]:
    failures = [state.failure for state in states]
    return {
        "error_code": [f.code if f else None for f in failures],
        "error_kind": [f.kind.value if f else None for f in failures],
        "error_message": [f.message if f else None for f in failures],
        "error_recoverable": [f.recoverable if f else None for f in failures],
        "error_uri": [f.full_uri if f else None for f in failures],
    }


async def _write_events(tx: OrgTx, outcomes: Sequence[tuple[_Held, rules.Outcome]]) -> None:
    said = [report for _, outcome in outcomes for report in outcome.applied]
    await tx.execute(
        _WRITE_EVENTS,
        {
            "action_id": [report.attempt.action for report in said],
            "attempt": [report.attempt.number for report in said],
            "version": [report.version for report in said],
            "at_": [report.at for report in said],
            "phase": [report.phase.value for report in said],
            "reason": [report.reason for report in said],
            "message": [report.message for report in said],
            "events": [
                json.dumps(
                    [
                        {
                            "at": event.at.isoformat(),
                            "reason": event.reason,
                            "message": event.message,
                        }
                        for event in report.events
                    ]
                )
                for report in said
            ],
        },
    )


async def _write_actions(
    tx: OrgTx,
    counters: Counters,
    outcomes: Sequence[tuple[_Held, rules.Outcome]],
    now: datetime,
) -> set[UUID]:
    """Move the actions on; returns those that moved. An action that is over stays as it is."""
    live = [(held, o) for held, o in outcomes if held.state.action_phase not in TERMINAL]
    if not live:
        return set()
    following = [_action_after(o) for _, o in live]
    rows = await tx.rows(
        _WRITE_ACTIONS,
        {
            "id": [o.state.attempt.action for _, o in live],
            "phase": [state.action_phase.value for state in following],
            "attempts": [
                o.state.attempt.number + (o.following is rules.Next.RETRY) for _, o in live
            ],
            "change": [counters.next(held.run) for held, _ in live],
            "started_at_": [state.started_at for state in following],
            "ended_at_": [
                state.ended_at if state.action_phase in TERMINAL else None for state in following
            ],
            "due_at_": [
                due_at(
                    state.policy,
                    state.action_phase,
                    created_at=held.created_at,
                    available_at=o.available_at or held.available_at,
                )
                for (held, o), state in zip(live, following, strict=True)
            ],
            "output_uri": [state.output_uri for state in following],
            "report_uri": [state.report_uri for state in following],
            **_failure_arrays(following),
            "now": now,
        },
    )
    return {row.id for row in rows}


def _action_after(outcome: rules.Outcome) -> rules.AttemptState:
    """What the action shows: a failure that is tried again is its attempt's alone."""
    if outcome.following is not rules.Next.RETRY:
        return outcome.state
    return replace(outcome.state, failure=None, output_uri="", report_uri="", ended_at=None)
