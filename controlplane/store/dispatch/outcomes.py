"""
Writes the outcomes of reports: attempts, events, actions and dispatches.

Every write names the lease, or is guarded by the phase table, or changes a row that
``reports`` has locked, so that rows which have moved on meanwhile stay as they are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from controlplane.core import attempts as rules
from controlplane.core.caching import CacheStatus
from controlplane.core.queues import ANY_POOL
from controlplane.core.timeouts import due_at
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.artifact_registrations import enqueue_registrations
from controlplane.store.dispatch.caching import store_entries
from controlplane.store.dispatch.cascades import PARENT_ENDED, EndedParent, end_descendants
from controlplane.store.dispatch.reservations import end_reservations
from controlplane.store.dispatch.usage_entries import METERED
from controlplane.store.notify.changes import Counters, notify
from controlplane.store.phase_guards import may_be_retried, may_become
from controlplane.store.statements import FAILURE, given, statement
from shared.model.ids import LeaseId, RunId
from shared.model.phases import TERMINAL, Phase

_WRITE_ATTEMPTS = statement(f"""
{given(
    action_id="uuid", number="integer", lease_id="uuid", phase="smallint", version="integer",
    accepted_at_="timestamptz", started_at_="timestamptz", ended_at_="timestamptz", reason="text", message="text",
    output_uri="text", report_uri="text", log_uri="text", log_links="jsonb",
    **FAILURE,
)}, {METERED}
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
RETURNING d.limited, d.pool
""")  # fmt: skip

_END = statement(f"""
{given(action_id="uuid")}
DELETE FROM dispatches d USING n WHERE d.org = n.org AND d.action_id = n.action_id
RETURNING d.limited
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedAttempt:
    """A leased attempt with the columns that writing its outcome needs."""

    run: RunId
    lease: LeaseId
    created_at: datetime  # of the action
    available_at: datetime
    accepted_at: datetime | None
    cache_status: CacheStatus = CacheStatus.DISABLED  # of the action
    produces_artifacts: bool = False  # its outputs may declare artifacts
    is_serialized: bool = False  # of equal actions one runs at a time
    state: rules.AttemptState


async def write_outcomes(
    tx: OrgTx,
    counters: Counters,
    outcomes: Sequence[tuple[LeasedAttempt, rules.Outcome]],
    now: datetime,
) -> None:
    """Write the outcomes of attempts and notify sessions, feeds and the cascade loop."""
    await _write_attempts(tx, outcomes)
    await _write_events(tx, outcomes)
    moved = await _write_actions(tx, counters, outcomes, now)
    ended = [o.state.attempt.action for _, o in outcomes if o.next_step is rules.Next.END]
    retried = [o for _, o in outcomes if o.next_step is rules.Next.RETRY]
    rows = await tx.rows(_END, {"action_id": ended}) if ended else []
    work = {ANY_POOL for row in rows if row.limited}  # its slot may let others start
    if retried:
        rows = await tx.rows(
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
        work |= {ANY_POOL if row.limited else row.pool for row in rows}
    parents = [
        EndedParent(id=o.state.attempt.action, run=leased.run, reason=PARENT_ENDED)
        for leased, o in outcomes
        if o.state.attempt.action in moved and o.state.action_phase in TERMINAL
    ]
    below = await end_descendants(tx, counters, parents, now)
    succeeded = [
        (leased, o.state)
        for leased, o in outcomes
        if o.state.attempt.action in moved and o.state.action_phase is Phase.SUCCEEDED
    ]
    await enqueue_registrations(
        tx,
        [(state.attempt, state.output_uri) for one, state in succeeded if one.produces_artifacts],
        now,
    )
    await store_entries(
        tx, [(state.attempt, state.output_uri, one.cache_status) for one, state in succeeded], now
    )
    serialized = {
        leased.state.attempt.action: leased for leased, _ in outcomes if leased.is_serialized
    }
    ended_now = {parent.id for parent in parents if parent.id in serialized}
    wakes = await end_reservations(tx, ended_now, now)
    await notify(
        tx,
        counters,
        work=work,
        stops=below.stops,
        cascades=below.is_marked,
        reservations=wakes or below.wakes_waiters,
    )


async def _write_attempts(
    tx: OrgTx, outcomes: Sequence[tuple[LeasedAttempt, rules.Outcome]]
) -> None:
    states = [outcome.state for _, outcome in outcomes]
    await tx.execute(
        _WRITE_ATTEMPTS,
        {
            "action_id": [state.attempt.action for state in states],
            "number": [state.attempt.number for state in states],
            "lease_id": [leased.lease for leased, _ in outcomes],
            "phase": [state.phase.value for state in states],
            "version": [state.version for state in states],
            "accepted_at_": [leased.accepted_at for leased, _ in outcomes],
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


async def _write_events(tx: OrgTx, outcomes: Sequence[tuple[LeasedAttempt, rules.Outcome]]) -> None:
    reported = [report for _, outcome in outcomes for report in outcome.applied]
    await tx.execute(
        _WRITE_EVENTS,
        {
            "action_id": [report.attempt.action for report in reported],
            "attempt": [report.attempt.number for report in reported],
            "version": [report.version for report in reported],
            "at_": [report.at for report in reported],
            "phase": [report.phase.value for report in reported],
            "reason": [report.reason for report in reported],
            "message": [report.message for report in reported],
            "events": [
                json.dumps(
                    [
                        {
                            "at": event.at.isoformat(),
                            "reason": event.reason,
                            "message": event.message,
                            "type": event.type.value,
                            "count": event.count,
                            "source": event.source,
                        }
                        for event in report.events
                    ]
                )
                for report in reported
            ],
        },
    )


async def _write_actions(
    tx: OrgTx,
    counters: Counters,
    outcomes: Sequence[tuple[LeasedAttempt, rules.Outcome]],
    now: datetime,
) -> set[UUID]:
    """Write the actions' phases; return those that changed. An ended action stays as it is."""
    live = [(leased, o) for leased, o in outcomes if leased.state.action_phase not in TERMINAL]
    if not live:
        return set()
    next_steps = [_action_after(o) for _, o in live]
    rows = await tx.rows(
        _WRITE_ACTIONS,
        {
            "id": [o.state.attempt.action for _, o in live],
            "phase": [state.action_phase.value for state in next_steps],
            "attempts": [
                o.state.attempt.number + (o.next_step is rules.Next.RETRY) for _, o in live
            ],
            "change": [counters.next(leased.run) for leased, _ in live],
            "started_at_": [state.started_at for state in next_steps],
            "ended_at_": [
                state.ended_at if state.action_phase in TERMINAL else None for state in next_steps
            ],
            "due_at_": [
                due_at(
                    state.policy,
                    state.action_phase,
                    created_at=leased.created_at,
                    available_at=o.available_at or leased.available_at,
                )
                for (leased, o), state in zip(live, next_steps, strict=True)
            ],
            "output_uri": [state.output_uri for state in next_steps],
            "report_uri": [state.report_uri for state in next_steps],
            **_failure_arrays(next_steps),
            "now": now,
        },
    )
    return {row.id for row in rows}


def _action_after(outcome: rules.Outcome) -> rules.AttemptState:
    """Return the phase and failure that the action shows; a failure to be retried is not shown."""
    if outcome.next_step is not rules.Next.RETRY:
        return outcome.state
    return replace(outcome.state, failure=None, output_uri="", report_uri="", ended_at=None)
