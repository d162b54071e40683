"""
Finds what needs the data of runs (``core.run_holds``), and locks a run against its deletion.

A transaction that makes a hold takes a KEY SHARE lock on the run (``lock_source``); a purge locks the
run FOR UPDATE before it looks for holds. So either the purge sees the hold, or the hold is refused.
An entry of the cache needs no lock: it is made by a live action of the run, which has not ended.

Each kind of hold is found by an index that leads to the run, up to ``MOST_SHOWN``; a run's own actions
are passed over by the ranges before and after its id.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from controlplane.core.run_holds import MOST_SHOWN, Hold, HoldKind
from controlplane.store.database import OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import RunId, RunKey

_OF = "n.org AND {t}.project = n.project AND {t}.domain = n.domain"


def _kind(kind: HoldKind, holder: str, source: str) -> str:
    return f"""
SELECT n.run_id, '{kind.value}' AS kind, h.holder
FROM n CROSS JOIN LATERAL (SELECT {holder} AS holder FROM {source} LIMIT {MOST_SHOWN}) h"""


def _runs(column: str) -> str:
    """Return SQL for the runs whose ``column`` has the id of ``n``, in the order of their ids."""
    return (
        f"runs h WHERE h.org = n.org AND h.{column} = n.run_id ORDER BY h.org, h.{column}, h.run_id"
    )


def _cached(first: str, last: str) -> str:
    """
    Return SQL for actions with outputs of run ``n``, of the runs with ids between these two.

    Compared as rows: equalities would seem as cheap by another index while there are no statistics.
    """
    of = "n.project || '/' || n.domain || '/' || n.run"
    return f"""(
        SELECT DISTINCT a.run_id FROM (
            SELECT a.run_id FROM actions a
            WHERE a.org = n.org AND a.cached_run IS NOT NULL
              AND (a.cached_run, a.run_id) > ({of}, {first})
              AND (a.cached_run, a.run_id) < ({of}, {last})
            ORDER BY a.org, a.cached_run, a.run_id LIMIT {MOST_SHOWN}
        ) a
    ) a JOIN runs r ON r.org = n.org AND r.run_id = a.run_id"""


_FIRST, _LAST = (f"CAST('{value}' AS uuid)" for value in (UUID(int=0), UUID(int=2**128 - 1)))
_NAME = "{t}.project || '/' || {t}.domain || '/' || {t}.run"

_FIND = statement(
    given(run_id="uuid", project="text", domain="text", run="text")
    + "\nUNION ALL".join([
        _kind(
            HoldKind.ARTIFACT,
            "h.name || '@' || h.version",
            f"artifacts h WHERE h.org = {_OF.format(t='h')} AND h.source_run = n.run AND h.source_run <> ''",
        ),
        _kind(
            HoldKind.CACHE_ENTRY,
            "h.key",
            f"cache_entries h WHERE h.org = {_OF.format(t='h')} AND h.run = n.run AND h.run <> ''",
        ),
        _kind(
            HoldKind.PERSON,
            "h.held_by || ': ' || h.hold_reason",
            "runs h WHERE h.org = n.org AND h.run_id = n.run_id AND h.held_by IS NOT NULL",
        ),
        _kind(HoldKind.RECOVERY, _NAME.format(t="h"), _runs("recovers")),
        _kind(HoldKind.INPUTS, _NAME.format(t="h"), _runs("inputs_of")),
        _kind(HoldKind.CACHED_RESULT, _NAME.format(t="r"), _cached(_FIRST, "n.run_id")),
        _kind(HoldKind.CACHED_RESULT, _NAME.format(t="r"), _cached("n.run_id", _LAST)),
        _kind(
            HoldKind.ATTEMPT,
            "a.name",
            "dispatches h JOIN actions a ON a.org = h.org AND a.id = h.action_id"
            " WHERE h.org = n.org AND h.run_id = n.run_id AND h.lease_id IS NOT NULL",
        ),
        _kind(
            HoldKind.REGISTRATION,
            "a.name",
            "artifact_registrations h JOIN actions a ON a.org = h.org AND a.id = h.action_id"
            " WHERE h.org = n.org AND a.run_id = n.run_id",
        ),
    ])
)  # fmt: skip

# The lock waits for a purge that has the run, and then reads whether it began.
_LOCK_SOURCE = statement("""
SELECT 1 FROM runs WHERE org = :org AND run_id = :run_id AND purging_since IS NULL FOR KEY SHARE
""")


async def find_holds(tx: OrgTx, runs: Mapping[RunId, RunKey]) -> Mapping[RunId, Sequence[Hold]]:
    """Return what holds these runs, up to ``MOST_SHOWN`` of each kind; those without holds lack."""
    if not runs:
        return {}
    rows = await tx.rows(
        _FIND,
        {
            "run_id": list(runs),
            "project": [key.project for key in runs.values()],
            "domain": [key.domain for key in runs.values()],
            "run": [key.name for key in runs.values()],
        },
    )
    found: dict[RunId, list[Hold]] = {}
    for row in rows:
        hold = Hold(kind=HoldKind(row.kind), holder=row.holder)
        found.setdefault(RunId(row.run_id), []).append(hold)
    return found


async def lock_source(tx: OrgTx, run: RunId) -> bool:
    """Keep a run from being purged until the transaction ends; False if it is gone, or going."""
    return bool(await tx.rows(_LOCK_SOURCE, {"run_id": run}))
