"""
Lets actions go on that wait for an equal one, once it has ended.

Runs after each notification of an ended reservation, and periodically. The outputs are checked
before the transaction; waiters of one key are let go on in pages.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.store.database import Database
from controlplane.store.dispatch.cache_waiters import (
    START,
    Reservation,
    hand_over,
    list_blocked,
    list_ended,
    list_waiters,
    mark_ended,
    run_beside,
)
from controlplane.usecases.cache_checks import CacheChecks
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup

_PAGE = 500
_LOCK_TIMEOUT = timedelta(seconds=1)
MARK_EVERY = timedelta(minutes=1)
BLOCKED_AFTER = timedelta(seconds=30)
"""
When an action that others wait for, and that itself waits for the limit of its queue or run, counts
as blocked: perhaps by the slot of a waiter's parent. The oldest waiter then runs beside it.
"""


class CacheWaiters:
    """
    Loop that lets waiters go on.

    ``wakeups`` registers a wakeup that is notified of ended reservations: ``Feeds.reservations``.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Callable[[Wakeup], AbstractContextManager[None]],
        clock: Clock,
        *,
        checks: CacheChecks,
        every: timedelta,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._clock = clock
        self._checks = checks
        self._every = every
        self._marked_at = clock.now() - MARK_EVERY

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._wakeups(wakeup):
            await run_periodically(
                "cache waiters",
                self.run_once,
                every=self._every,
                clock=self._clock,
                pause=wakeup.wait,
            )

    async def run_once(self) -> int:
        """
        Let all waiters of ended reservations go on; return how many. Safe on every replica at once.

        A reservation that fails is retried in the next pass, and delays no other.
        """
        went_on = 0
        if self._clock.now() >= self._marked_at + MARK_EVERY:
            await self.mark_once()
            went_on += await self.run_blocked_once()
            self._marked_at = self._clock.now()
        after = START
        while page := await self._list(after):
            for reservation in page:
                with isolated("cache waiters", org=reservation.org, project=reservation.project):
                    went_on += await self._hand_over(reservation)
            after = page[-1]
        return went_on

    async def mark_once(self) -> int:
        """Mark reservations whose action ended without that, as by an earlier release."""
        marked = 0
        last: Reservation | None = START
        while last is not None:
            async with self._database.for_fleet("mark ended cache reservations") as fleet:
                page, last = await mark_ended(fleet, last, self._clock.now(), most=_PAGE)
            marked += page
        return marked

    async def run_blocked_once(self) -> int:
        """Let one waiter of each blocked reservation run beside; return how many."""
        went_on = 0
        after: Reservation | None = START
        while after is not None:
            async with self._database.for_fleet("list blocked cache reservations") as fleet:
                before = self._clock.now() - BLOCKED_AFTER
                page, after = await list_blocked(fleet, after, before, most=_PAGE)
            for of in page:
                with isolated("cache waiters", org=of.org, project=of.project):
                    async with self._database.for_org(of.org) as tx:
                        for waiter in (await list_waiters(tx, of))[:1]:
                            went_on += await run_beside(tx, waiter, self._clock.now())
        return went_on

    async def _list(self, after: Reservation) -> Sequence[Reservation]:
        async with self._database.for_fleet("list ended cache reservations") as fleet:
            return await list_ended(fleet, after, most=_PAGE)

    async def _hand_over(self, of: Reservation) -> int:
        """Hand one reservation over; return how many waiters went on."""
        went_on, skip_locked = 0, True
        while True:
            async with self._database.for_org(of.org) as tx:
                waiters = await list_waiters(tx, of)
            checks = await self._checks.check(of.org, [each.lookup for each in waiters])
            # First those that are free; then wait for the others, but not for long.
            async with self._database.for_org(of.org, lock_timeout=_LOCK_TIMEOUT) as tx:
                found = await hand_over(
                    tx,
                    of,
                    list(zip(waiters, checks, strict=True)),
                    self._clock.now(),
                    skip_locked=skip_locked,
                )
            went_on += found.went_on
            if found.is_over or not (found.went_on or skip_locked):
                return went_on
            skip_locked = found.went_on > 0
