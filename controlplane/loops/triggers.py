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
from controlplane.core.runs import NewRun
from controlplane.core.scoped_settings import Effective, resolve
from controlplane.core.scopes import Scope
from controlplane.core.triggers import DueTrigger, TriggerRow
from controlplane.loops.periodic import isolated, run_periodically
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.firings import (
    find_next_wake,
    forget_deleted,
    list_due_orgs,
    lock_due,
    save_progress,
)
from controlplane.store.resources.run_batches import TriggeredRun, create_triggered_runs
from controlplane.store.resources.runs import Created
from controlplane.store.resources.scoped_settings import list_records
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.kit.wakeup import Wakeup
from shared.model.ids import OrgName, RunId

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
        while orgs:
            more: list[OrgName] = []
            for org in orgs:
                with isolated("triggers", org=org):
                    fired = await self._fire_page(org, now)
                    started += sum(each.outcome is Created.CREATED for each in fired)
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
        scopes = {(each.row.key.project, each.row.key.domain) for each in due}
        effective = {
            (project, domain): resolve(await list_records(tx, Scope(domain, project)))
            for project, domain in sorted(scopes)
        }
        fired = [
            self._prepare(tx.org, each, effective[each.row.key.project, each.row.key.domain], now)
            for each in due
        ]
        runs = [each.run for each in fired if each.run is not None]
        answers = await create_triggered_runs(tx, runs, now, skip_locked=skip_locked)
        for each in fired:
            if each.run is not None:
                each.conclude(answers[each.run.id], now)
        await save_progress(tx, [each.after for each in fired])
        return fired

    def _prepare(
        self, org: OrgName, due: DueTrigger, effective: Effective, now: datetime
    ) -> "_Fired":
        """Build the run of a due trigger, or decide what follows if that is impossible."""
        fired = _Fired(due, now)
        try:
            if due.task_spec is None:
                fired.refuse(f"version {due.row.task_version} of the task is not deployed", now)
                return fired
            rules.require_schedule(due.row).find_next(due.fire_at)  # its zone may be gone
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


class _Fired:
    """One due trigger: its run, what came of it, and the trigger afterwards."""

    def __init__(self, due: DueTrigger, now: datetime) -> None:
        self.due = due
        self.run: TriggeredRun | None = None
        self.outcome: Created | None = None
        self.after: TriggerRow = due.row
        self.lag = now - due.fire_at

    def is_due(self, now: datetime) -> bool:
        """Return whether another of its instants was due at ``now``."""
        return self.after.wake_at is not None and self.after.wake_at <= now

    def refuse(self, why: str, now: datetime) -> None:
        self.after = rules.skip(self.due.row, self.due.fire_at, now, error=why)

    def conclude(self, outcome: Created, now: datetime) -> None:
        self.outcome = outcome
        row, instant = self.due.row, self.due.fire_at
        queue = "" if self.run is None else self.run.new.queue
        match outcome:
            case Created.CREATED | Created.REPEATED:
                self.after = rules.advance(row, instant, now)
            case Created.QUEUE_FULL:
                self.after = rules.retry(
                    row, instant, now, error=f"queue {queue or 'default'} is full"
                )
            case Created.BUSY:
                self.after = rules.postpone(row, now, error=f"queue {queue or 'default'} is busy")
            case Created.NO_QUEUE:
                self.refuse(f"there is no queue {queue}", now)
            case Created.TAKEN:
                self.refuse("another run has the name of the scheduled run", now)
            case Created.ARCHIVED_PROJECT:
                self.refuse(f"project {row.key.project} is archived", now)
            case Created.NO_PROJECT | Created.NO_TRIGGER:
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
