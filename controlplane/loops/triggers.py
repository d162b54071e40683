"""
Starts the runs of triggers whose scheduled instant has come.

A page of due triggers is locked, their runs are created and their next instants are written, all in
one transaction; a run's name follows from its trigger and instant. So each instant starts one run,
on any number of replicas, wherever one of them stops. Orgs with due triggers are served
round-robin, one page each.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial

from prometheus_client import Counter, Histogram

from controlplane.core import triggers as rules
from controlplane.core.errors import BusyError, RequestError
from controlplane.core.firings import Firing, FiringReason, record_skipped, record_started
from controlplane.core.runs import NewRun
from controlplane.core.scoped_settings import Effective, resolve
from controlplane.core.scopes import Scope
from controlplane.core.triggers import DueTrigger, Overlap, TriggerRow
from controlplane.loops.periodic import isolated, run_periodically
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.firings import (
    find_live_runs,
    find_next_wake,
    forget_deleted,
    list_due_orgs,
    lock_due,
    save_progress,
    wake,
)
from controlplane.store.dispatch.restores import find_last_restore
from controlplane.store.resources.run_batches import TriggeredRun, create_triggered_runs
from controlplane.store.resources.runs import Created
from controlplane.store.resources.scoped_settings import list_records_of
from controlplane.store.resources.trigger_firings import record_firings
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.kit.wakeup import Wakeup
from shared.model.ids import ROOT, OrgName, RunId, RunName

log = logging.getLogger(__name__)

PAGE = 100
"""Triggers that one transaction fires."""
LOCK_TIMEOUT = timedelta(seconds=1)
KEEP_DELETED = timedelta(days=30)
"""How long the revisions of a deleted trigger are readable."""
_FORGOTTEN_AT_ONCE = 100
_SHORTEST_PAUSE = timedelta(milliseconds=10)

INSTANTS = Counter(
    "volary_trigger_instants",
    "Scheduled instants of triggers, by outcome: created, repeated, waiting (tried again later),"
    " skipped (no run was or will be started).",
    ["outcome"],
    registry=None,  # ``main`` registers it
)
LAG = Histogram(
    "volary_trigger_lag_seconds",
    "From a scheduled instant to when its run was created.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
    registry=None,  # ``main`` registers it
)

Build = Callable[[DueTrigger, bytes, Effective, OrgName], NewRun]


class TriggerScheduler:
    """
    Loop that starts scheduled runs.

    ``wakeups`` registers a wakeup that is notified of changed triggers: ``Feeds.triggers``.
    ``build`` makes a run of a trigger, a TaskSpec and the settings of their project and domain;
    RequestError if a caller's request would be refused.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Callable[[Wakeup], AbstractContextManager[None]],
        clock: Clock,
        *,
        build: Build,
        every: timedelta,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._build = build
        self._every = every
        self._next: datetime | None = None
        self._restore: tuple[datetime, datetime] | None = (
            None  # moment of the backup, of the restore
        )

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._wakeups(wakeup):
            await run_periodically(
                "triggers",
                self._pass,
                every=self._every,
                clock=self._clock,
                pause=partial(self._pause, wakeup),
            )

    async def _pass(self) -> None:
        await self.run_once()  # no result: each run is logged

    async def _pause(self, wakeup: Wakeup, at_most: timedelta) -> None:
        """Wait for the next instant of any trigger, for a change of one, or ``at_most``."""
        if self._next is not None:
            at_most = min(at_most, max(self._next - self._clock.now(), _SHORTEST_PAUSE))
        await wakeup.wait(at_most)

    async def run_once(self) -> int:
        """Start the runs that are due; return how many. Safe on every replica at once."""
        started = 0
        now = self._clock.now()
        async with self._database.for_fleet("list orgs with due triggers") as fleet:
            orgs = await list_due_orgs(fleet, now)
            self._restore = await find_last_restore(fleet) if orgs else None
        while orgs:
            more: list[OrgName] = []
            for org in orgs:
                with isolated("triggers", org=org):
                    fired = await self._fire_page(org, now)
                    started += sum(each.outcome is Created.CREATED for each in fired)
                    for each in fired:
                        await self._replace(org, each)
                    if len(fired) == PAGE or any(each.is_due(now) for each in fired):
                        more.append(org)
            orgs = more
        async with self._database.for_fleet("find the next trigger, forget deleted ones") as fleet:
            await forget_deleted(fleet, now - KEEP_DELETED, most=_FORGOTTEN_AT_ONCE)
            self._next = await find_next_wake(fleet, now)
        return started

    async def _fire_page(self, org: OrgName, now: datetime) -> Sequence["_Fired"]:
        """Fire a page of due triggers."""
        try:
            return await self._fire(org, now, skip_locked=False)
        except BusyError:  # the runs of other queues must not wait for this one
            return await self._fire(org, now, skip_locked=True)

    async def _fire(self, org: OrgName, now: datetime, *, skip_locked: bool) -> Sequence["_Fired"]:
        async with self._database.for_org(org, lock_timeout=LOCK_TIMEOUT) as tx:
            due = await lock_due(tx, now, most=PAGE)
            fired = await self._fire_locked(tx, due, skip_locked=skip_locked)
        for each in fired:
            each.report(org)
        return fired

    async def _fire_locked(
        self, tx: OrgTx, due: Sequence[DueTrigger], *, skip_locked: bool
    ) -> Sequence["_Fired"]:
        now = self._clock.now()
        records = await list_records_of(tx, {_scope_of(each.row) for each in due})
        effective = {scope: resolve(found) for scope, found in records.items()}
        checked = [each.row.key for each in due if each.row.overlap is not Overlap.ALLOW]
        live = await find_live_runs(tx, checked)
        fired = [
            self._prepare(
                tx.org, each, effective[_scope_of(each.row)], live.get(each.row.key, ()), now
            )
            for each in due
        ]
        runs = [each.run for each in fired if each.run is not None]
        answers = await create_triggered_runs(tx, runs, now, skip_locked=skip_locked)
        for each in fired:
            if each.run is not None:
                each.conclude(answers[each.run.id], now)
        await save_progress(tx, [each.after for each in fired])
        firings = [(each.due.row.key, firing) for each in fired for firing in each.firings]
        await record_firings(tx, firings, now)
        return fired

    async def _replace(self, org: OrgName, fired: "_Fired") -> None:
        """
        Abort the runs that a trigger replaces, and let it start the next one.

        The instant stays due until then, so if this process dies a later pass aborts them.
        """
        row = fired.due.row
        with isolated("triggers", org=org, trigger=str(row.key)):
            for run, name in fired.replaces:
                async with self._database.for_org(org, lock_timeout=LOCK_TIMEOUT) as tx:
                    await wake(tx, row.key)
                    await abort(
                        tx,
                        run,
                        ROOT,
                        reason=f"replaced by the next scheduled run of trigger {row.key.name}",
                        by=row.deployed_by,
                        now=self._clock.now(),
                    )
                fired.is_awake = True
                log.info("scheduled run replaced", extra={"org": org, "run": name})

    def _prepare(
        self,
        org: OrgName,
        due: DueTrigger,
        effective: Effective,
        live: Sequence[tuple[RunId, RunName]],
        now: datetime,
    ) -> "_Fired":
        """Build the run of a due trigger, or decide what follows if that is impossible."""
        fired = _Fired(due, now)
        if self._restore is not None and self._restore[0] < due.fire_at <= self._restore[1]:
            fired.forget(self._restore[1], now)
            return fired
        try:
            if due.task_spec is None:
                fired.refuse(f"version {due.row.task_version} of the task is not deployed", now)
                return fired
            rules.require_schedule(due.row).find_next(due.fire_at)  # its zone may be gone
            if fired.is_held_by(live, now):
                return fired
            new = self._build(due, due.task_spec, effective, org)
            fired.run = TriggeredRun(RunId(new_uuid(now)), new, by=due.row.deployed_by)
        except RequestError as error:
            fired.refuse(str(error), now)
        except Exception:
            log.exception("trigger failed", extra={"org": org, "trigger": str(due.row.key)})
            fired.after = rules.postpone(
                due.row, now, error="internal error; your operator finds it in the log"
            )
        return fired


def _scope_of(row: TriggerRow) -> Scope:
    return Scope(row.key.domain, row.key.project)


class _Fired:
    """One due trigger: its run, what came of it, and the trigger afterwards."""

    def __init__(self, due: DueTrigger, now: datetime) -> None:
        self.due = due
        self.run: TriggeredRun | None = None
        self.outcome: Created | None = None
        self.after: TriggerRow = due.row
        self.firings: Sequence[Firing] = ()
        self.replaces: Sequence[tuple[RunId, RunName]] = ()
        self.is_awake = False  # the runs that it replaces have ended
        self.lag = now - due.fire_at

    def is_due(self, now: datetime) -> bool:
        """Return whether another of its instants was due at ``now``."""
        return self.is_awake or (self.after.wake_at is not None and self.after.wake_at <= now)

    def is_held_by(self, live: Sequence[tuple[RunId, RunName]], now: datetime) -> bool:
        """Apply the policy for runs that overlap; return whether no run is started for now."""
        row, instant = self.due.row, self.due.fire_at
        if row.overlap is Overlap.REPLACE:
            self.after = rules.supersede(row, instant, now)
            if self.after is not row:
                self.after, self.firings = record_skipped(
                    row, self.after, instant, now, FiringReason.SUPERSEDED
                )
                return True
        if not live:
            return False
        error = f"run {live[0][1]} has not ended"
        if row.overlap is Overlap.SKIP:
            self.refuse(error, now, FiringReason.OVERLAP)
        else:
            self.replaces = live
            self.after = rules.postpone(row, now, error=f"{error}; it is being aborted")
        return True

    def refuse(self, why: str, now: datetime, reason: FiringReason = FiringReason.REFUSED) -> None:
        row, instant = self.due.row, self.due.fire_at
        self._skipped(rules.skip(row, instant, now, error=why), now, reason)

    def forget(self, restored_at: datetime, now: datetime) -> None:
        """Skip the instants before a restore: the database that was lost may have started theirs."""
        row, instant = self.due.row, self.due.fire_at
        error = (
            "the database was restored from a backup; this instant may have started a run before"
        )
        after = rules.skip(row, instant, min(now, restored_at), error=error)
        self._skipped(after, now, FiringReason.RESTORED)

    def _skipped(self, after: TriggerRow, now: datetime, reason: FiringReason) -> None:
        row = self.due.row
        self.after, self.firings = record_skipped(row, after, self.due.fire_at, now, reason)

    def conclude(self, outcome: Created, now: datetime) -> None:
        self.outcome = outcome
        row, instant = self.due.row, self.due.fire_at
        queue = "" if self.run is None else self.run.new.queue
        match outcome:
            case Created.CREATED if self.run is not None:
                self.after, self.firings = record_started(
                    row,
                    rules.advance(row, instant, now),
                    instant,
                    self.run.new.key.run.name,
                    now,
                )
            case Created.CREATED | Created.REPEATED:
                self.after = rules.advance(row, instant, now)
            case Created.QUEUE_FULL | Created.OVER_QUOTA:
                error = f"queue {queue or 'default'} is full"
                if outcome is Created.OVER_QUOTA:
                    error = "a quota of actions per day is used up"
                after = rules.retry(row, instant, now, error=error)
                if after.skipped > row.skipped:
                    self._skipped(after, now, FiringReason.REFUSED)
                else:
                    self.after = after
            case Created.BUSY:
                self.after = rules.postpone(row, now, error=f"queue {queue or 'default'} is busy")
            case Created.NO_QUEUE:
                self.refuse(f"there is no queue {queue}", now)
            case Created.TAKEN:
                self.refuse("another run has the name of the scheduled run", now)
            case Created.ARCHIVED_PROJECT:
                self.refuse(f"project {row.key.project} is archived", now)
            case Created.NO_PROJECT | Created.NO_TRIGGER | Created.NO_SOURCE | Created.NO_INPUTS:
                self.refuse(f"there is no project {row.key.project}", now)

    def report(self, org: OrgName) -> None:
        """Log and count what came of it, after the commit."""
        skipped = self.after.skipped - self.due.row.skipped
        of = {
            "org": org,
            "trigger": str(self.due.row.key),
            "instant": self.due.fire_at.isoformat(),
        }
        if self.outcome is Created.CREATED and self.run is not None:
            INSTANTS.labels("created").inc()
            LAG.observe(self.lag.total_seconds())
            log.info("scheduled run created", extra={**of, "run": str(self.run.new.key.run)})
        elif self.outcome is Created.REPEATED:
            INSTANTS.labels("repeated").inc()
        elif not skipped:
            INSTANTS.labels("waiting").inc()
            log.warning("scheduled run waits", extra={**of, "reason": self.after.error})
        if skipped:
            INSTANTS.labels("skipped").inc(skipped)
            log.warning(
                "scheduled runs skipped",
                extra={**of, "instants": skipped, "reason": self.after.error},
            )
