"""
Writes what a batch of reports has changed in a tracked run, by as many statements whatever its size.

The run is locked by ``tracked_runs.lock_tracked``, so each row is as it was read.
"""

from collections.abc import Iterable, Sequence

from controlplane.core import layout
from controlplane.core.actions import ActionType
from controlplane.core.tracked_runs import TrackedAction, Tree
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.cascades import PARENT_ENDED, EndedParent, end_descendants
from controlplane.store.notify.changes import notify
from controlplane.store.resources.specs import save_specs
from controlplane.store.resources.tracked_runs import LockedTrackedRun
from controlplane.store.statements import FAILURE, given, statement
from shared.model.ids import ActionId
from shared.model.phases import Phase
from shared.model.reports import Failure

_NO_LEASE = "'00000000-0000-0000-0000-000000000000'"

_DESCRIBED = {
    "parent": "text",
    "parent_id": "uuid",
    "type": "smallint",
    "spec": "bytea",
    "group_name": "text",
    "task_name": "text",
    "task_version": "text",
    "task_type": "text",
    "short_name": "text",
    "environment": "text",
    "function": "text",
}

_INSERT = statement(f"""
{given(id="uuid", name="text", input_uri="text", change="bigint", **_DESCRIBED)}
INSERT INTO actions (org, id, run_id, name, parent, parent_id, type, spec, input_uri, group_name,
                     task_name, task_version, task_type, short_name, environment, function,
                     phase, change, created_at, updated_at)
SELECT n.org, n.id, :run_id, n.name, n.parent, n.parent_id, n.type, n.spec, n.input_uri,
       n.group_name, n.task_name, n.task_version, n.task_type, n.short_name, n.environment,
       n.function, {Phase.QUEUED.value}, n.change, :now, :now
FROM n
""")

_DESCRIBE = statement(f"""
{given(id="uuid", change="bigint", **_DESCRIBED)}
UPDATE actions a
SET change = n.change, parent = n.parent, parent_id = n.parent_id, type = n.type, spec = n.spec,
    group_name = n.group_name, task_name = n.task_name, task_version = n.task_version,
    task_type = n.task_type, short_name = n.short_name, environment = n.environment,
    function = n.function
FROM n WHERE a.org = n.org AND a.id = n.id
""")

# The run is locked, so each row is as it was read; an action that was aborted since is no exception.
_UPDATE = statement(f"""
{given(
    id="uuid", change="bigint", phase="smallint", attempts="integer", started_at_="timestamptz",
    ended_at_="timestamptz", output_uri="text", report_uri="text", cache_status="smallint",
    abort_reason="text", aborted_by="text", **FAILURE,
)}
UPDATE actions a
SET phase = n.phase, attempts = n.attempts, change = n.change, updated_at = :now,
    started_at = n.started_at, ended_at = n.ended_at, output_uri = n.output_uri,
    report_uri = n.report_uri, cache_status = n.cache_status, abort_reason = n.abort_reason,
    aborted_by = n.aborted_by, error_code = n.error_code, error_kind = n.error_kind,
    error_message = n.error_message, error_recoverable = n.error_recoverable,
    error_uri = n.error_uri
FROM n WHERE a.org = n.org AND a.id = n.id AND a.phase <> {Phase.ABORTED.value}
""")  # fmt: skip

_SAVE_ATTEMPTS = statement(f"""
{given(
    action_id="uuid", number="integer", phase="smallint", version="integer",
    leased_at_="timestamptz", started_at_="timestamptz", ended_at_="timestamptz",
    output_uri="text", report_uri="text", **FAILURE,
)}
INSERT INTO attempts AS t (org, action_id, number, lease_id, cluster, phase, version, available_at,
                           leased_at, started_at, ended_at, output_uri, report_uri, error_code,
                           error_kind, error_message, error_recoverable, error_uri)
SELECT n.org, n.action_id, n.number, {_NO_LEASE}, '', n.phase, n.version, n.leased_at, n.leased_at,
       n.started_at, n.ended_at, n.output_uri, n.report_uri, n.error_code, n.error_kind,
       n.error_message, n.error_recoverable, n.error_uri
FROM n
ON CONFLICT (org, action_id, number) DO UPDATE
SET phase = EXCLUDED.phase, version = EXCLUDED.version, started_at = EXCLUDED.started_at,
    ended_at = EXCLUDED.ended_at, output_uri = EXCLUDED.output_uri,
    report_uri = EXCLUDED.report_uri, error_code = EXCLUDED.error_code,
    error_kind = EXCLUDED.error_kind, error_message = EXCLUDED.error_message,
    error_recoverable = EXCLUDED.error_recoverable, error_uri = EXCLUDED.error_uri
WHERE t.version < EXCLUDED.version
""")  # fmt: skip

_HISTORY = statement(f"""
{given(
    action_id="uuid", attempt="integer", version="integer", at_="timestamptz", phase="smallint",
)}
INSERT INTO action_events (org, action_id, attempt, version, at, phase)
SELECT n.org, n.action_id, n.attempt, n.version, n.at, n.phase FROM n ON CONFLICT DO NOTHING
""")  # fmt: skip


async def save(tx: OrgTx, run: LockedTrackedRun, tree: Tree) -> None:
    """Write what a batch of reports has changed, and notify watchers."""
    await save_specs(
        tx,
        [
            action.described.spec
            for name in {**tree.new, **tree.changed}
            if (action := tree.actions[name]).described is not None
        ],
    )
    if tree.new:
        await _insert(tx, run, tree)
    described = [
        tree.actions[name]
        for name in tree.changed
        if name not in tree.new and tree.actions[name].described is not None
    ]
    if described:
        await tx.execute(
            _DESCRIBE,
            {
                "id": [action.id for action in described],
                "change": [run.counters.next(run.id) for _ in described],
                **_descriptions(tree, described),
            },
        )
    if tree.changed:
        await _update(tx, run, tree)
        await _save_attempts(tx, run, tree)
    ended = [EndedParent(id=ActionId(run.id), run=run.id, reason=PARENT_ENDED)]
    below = await end_descendants(tx, run.counters, ended if tree.ended_root() else (), tree.now)
    await notify(tx, run.counters, cascades=below.is_marked)


async def _insert(tx: OrgTx, run: LockedTrackedRun, tree: Tree) -> None:
    new = [tree.actions[name] for name in tree.new]
    await tx.execute(
        _INSERT,
        {
            "run_id": run.id,
            "id": [action.id for action in new],
            "name": [action.name for action in new],
            "input_uri": [layout.input_uri(run.run_base, action.name) for action in new],
            "change": [run.counters.next(run.id) for _ in new],
            **_descriptions(tree, new),
            "now": tree.now,
        },
    )


def _descriptions(tree: Tree, actions: Sequence[TrackedAction]) -> dict[str, list[object]]:
    described = [action.described for action in actions if action.described is not None]
    infos = [each.info for each in described]
    return {
        "parent": [each.parent for each in described],
        "parent_id": [tree.actions[each.parent].id for each in described],
        "type": [each.type.value for each in described],
        "spec": [each.spec.digest for each in described],
        "group_name": [each.group for each in described],
        "task_name": [info.name for info in infos],
        "task_version": [info.version for info in infos],
        "task_type": [info.task_type for info in infos],
        "short_name": [info.short_name for info in infos],
        "environment": [info.environment for info in infos],
        "function": [info.function for info in infos],
    }


async def _update(tx: OrgTx, run: LockedTrackedRun, tree: Tree) -> None:
    changed = [tree.actions[name] for name in tree.changed]
    aborted = [action.phase is Phase.ABORTED for action in changed]
    prefixes = [
        layout.output_prefix(run.run_base, action.name, action.attempts) for action in changed
    ]
    reasons = [
        (action.failure.message if action.failure else "aborted by its program") if ended else ""
        for action, ended in zip(changed, aborted, strict=True)
    ]
    await tx.execute(
        _UPDATE,
        {
            "id": [action.id for action in changed],
            "change": [run.counters.next(run.id) for _ in changed],
            "phase": [action.phase.value for action in changed],
            "attempts": [action.attempts for action in changed],
            "started_at_": [action.started_at for action in changed],
            "ended_at_": [action.ended_at for action in changed],
            "output_uri": [
                _output_uri(action, prefix)
                for action, prefix in zip(changed, prefixes, strict=True)
            ],
            "report_uri": [
                layout.report_uri(prefix) if action.has_report else ""
                for action, prefix in zip(changed, prefixes, strict=True)
            ],
            "cache_status": [action.cache_status.value for action in changed],
            "abort_reason": reasons,
            "aborted_by": [run.created_by if ended else "" for ended in aborted],
            **_failures(
                None if ended else action.failure
                for action, ended in zip(changed, aborted, strict=True)
            ),
            "now": tree.now,
        },
    )


def _output_uri(action: TrackedAction, prefix: str) -> str:
    """Return a task's prefix or a trace's file, once there are outputs."""
    if not action.has_outputs:
        return ""
    return layout.outputs_uri(prefix) if action.type is ActionType.TRACE else prefix


async def _save_attempts(tx: OrgTx, run: LockedTrackedRun, tree: Tree) -> None:
    saved = [(tree.actions[name], tree.attempts[name, at]) for name, at in tree.changed_attempts]
    prefixes = [
        layout.output_prefix(run.run_base, action.name, attempt.number) for action, attempt in saved
    ]
    attempts = [attempt for _, attempt in saved]
    await tx.execute(
        _SAVE_ATTEMPTS,
        {
            "action_id": [action.id for action, _ in saved],
            "number": [attempt.number for attempt in attempts],
            "phase": [attempt.phase.value for attempt in attempts],
            "version": [attempt.version for attempt in attempts],
            "leased_at_": [attempt.began_at for attempt in attempts],
            "started_at_": [attempt.started_at for attempt in attempts],
            "ended_at_": [attempt.ended_at for attempt in attempts],
            "output_uri": [
                prefix if attempt.has_outputs else ""
                for attempt, prefix in zip(attempts, prefixes, strict=True)
            ],
            "report_uri": [
                layout.report_uri(prefix) if attempt.has_report else ""
                for attempt, prefix in zip(attempts, prefixes, strict=True)
            ],
            **_failures(attempt.failure for attempt in attempts),
        },
    )
    if tree.history:
        await tx.execute(
            _HISTORY,
            {
                "action_id": [each.action for each in tree.history],
                "attempt": [each.attempt for each in tree.history],
                "version": [each.version for each in tree.history],
                "at_": [each.at for each in tree.history],
                "phase": [each.phase.value for each in tree.history],
            },
        )


def _failures(failures: Iterable[Failure | None]) -> dict[str, list[object]]:
    found = list(failures)
    return {
        "error_code": [f.code if f else None for f in found],
        "error_kind": [f.kind.value if f else None for f in found],
        "error_message": [f.message if f else None for f in found],
        "error_recoverable": [f.recoverable if f else None for f in found],
        "error_uri": [f.full_uri if f else None for f in found],
    }
