"""
Runs revisions under an advisory lock, records each in ``schema_steps``, and refuses unsafe ones.

Called by ``env.py``, on the connection on which Alembic runs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, text

from controlplane.core.errors import UnfitDatabaseError
from controlplane.core.schema_steps import (
    DatabaseSchema,
    Replica,
    Step,
    find_mismatch,
    find_unsafe_step,
    pending_steps,
)
from controlplane.store.migrations import schemas
from controlplane.store.replicas import SELECT_REPLICAS, parse_replicas

_ADVISORY_LOCK = 0x766F6C617279  # "volary"
_LOCK_INTERVAL_SECONDS = 0.5

_FIND_HOLDER = """
SELECT 'pid ' || a.pid || coalesce(' at ' || host(a.client_addr), '') FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
  AND (l.classid::bigint << 32) + l.objid::bigint = :key
"""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """
    Reporting and target of an upgrade; in ``attributes["upgrade"]`` of Alembic's configuration.

    ``report`` is called with each line for the operator. ``target``: the last revision to run;
    "" for the last there is.
    """

    report: Callable[[str], None]
    target: str = ""


def lock(connection: Connection, report: Callable[[str], None]) -> None:
    """
    Wait until no other program migrates; the lock is the session's.

    By trying again: a statement that waits for the lock has a snapshot, for which an index that
    the other program creates concurrently would wait in turn.
    """
    is_reported = False
    while True:
        is_ours = connection.scalar(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_LOCK}
        )
        holder = None
        if not is_ours and not is_reported:
            holder = connection.scalar(text(_FIND_HOLDER), {"key": _ADVISORY_LOCK})
        connection.commit()
        if is_ours:
            return
        if not is_reported:
            report(f"Another upgrade is running ({holder or 'it just ended'}); waiting for it.")
            is_reported = True
        time.sleep(_LOCK_INTERVAL_SECONDS)


def unlock(connection: Connection) -> None:
    """Let the next program migrate."""
    connection.rollback()
    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_LOCK})
    connection.commit()


def read_schema(connection: Connection) -> DatabaseSchema:
    found = connection.execute(text(schemas.FIND_TABLES)).mappings().one()
    statement = schemas.select_schema(**found)
    row = connection.execute(text(statement)).mappings().one() if statement else None
    return schemas.parse_schema(None if row is None else {**row})


def read_replicas(connection: Connection) -> Sequence[Replica]:
    rows = connection.execute(text(SELECT_REPLICAS)).mappings().all()
    return parse_replicas([(row["name"], row["address"]) for row in rows])


def prepare(connection: Connection, steps: Sequence[Step], upgrade: Upgrade, release: str) -> bool:
    """
    Report what is pending; return whether there is anything to run.

    UnfitDatabaseError: the database is too new for this release, or a contract step would break a
    replica that is connected. Nothing was changed then.
    """
    database = read_schema(connection)
    ours = steps[-1].revision
    if database.revision > ours:
        mismatch = find_mismatch(steps, database, release=release)
        if mismatch:
            raise UnfitDatabaseError(mismatch)
        upgrade.report(
            f"The database has schema {database.revision}, which is newer than {ours} of this "
            f"release (Volary {release}); this release works with it, and nothing is to be done."
        )
        return False
    last = upgrade.target or ours
    pending = [each for each in pending_steps(steps, database.revision) if each.revision <= last]
    if database.revision:  # a database without a schema has no replicas
        unsafe = find_unsafe_step(pending, read_replicas(connection))
        if unsafe:
            raise UnfitDatabaseError(f"nothing was changed: {unsafe}")
    if pending:
        upgrade.report(
            f"{len(pending)} {'step' if len(pending) == 1 else 'steps'} to run, from schema "
            f"{database.revision or 'none'} to {pending[-1].revision}:"
        )
    return bool(pending)


class Recorder:
    """Records each step in ``schema_steps`` as Alembic has run it, in the step's transaction."""

    def __init__(
        self,
        connection: Connection,
        steps: Sequence[Step],
        release: str,
        report: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._steps: Mapping[str, Step] = {step.revision: step for step in steps}
        self._release = release
        self._report = report
        self._started_at: datetime = self._now()

    def record(self, step: MigrationInfo) -> None:
        """
        Record a step up, or forget it on the way down.

        UnfitDatabaseError: an older replica connected while a contract step ran; it is rolled back.
        """
        if step.is_stamp:
            return
        known = self._connection.execute(text(schemas.FIND_TABLES)).mappings().one()["recorded"]
        if not step.is_upgrade:
            if known:
                revision = {"revision": step.up_revision_id}
                self._connection.execute(text(schemas.FORGET_STEP), revision)
            return
        ran = self._steps[str(step.up_revision_id)]
        unsafe = find_unsafe_step([ran], read_replicas(self._connection) if ran.requires else [])
        if unsafe:
            raise UnfitDatabaseError(
                f"a step was rolled back, and those before it are kept: {unsafe}"
            )
        ended_at = self._insert(ran) if known else self._now()
        seconds = (ended_at - self._started_at).total_seconds()
        self._report(f"  {ran}: {seconds:.1f} s")
        self._started_at = ended_at

    def _insert(self, step: Step) -> datetime:
        ended_at: datetime = self._connection.execute(
            text(schemas.RECORD_STEP),
            {
                "revision": step.revision,
                "kind": step.kind.value,
                "subject": step.subject,
                "requires": step.requires,
                "release": self._release,
                "started_at": self._started_at,
            },
        ).scalar_one()
        return ended_at

    def _now(self) -> datetime:
        now: datetime = self._connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now
