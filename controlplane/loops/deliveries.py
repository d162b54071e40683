"""
Delivers notifications: one worker for each receiver that has some, so that none waits for another.

A receiver is a host, in one org. A worker sends to it until nothing is due or a try fails; after
failures in a row the receiver rests, however much is due to it. At most ``OF_ORG`` workers serve
one org and ``AT_ONCE`` all of them; receivers that find no worker are the first of the next pass.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.loops.rests import Rests
from controlplane.store.database import Database
from controlplane.store.notify import deliveries as store
from controlplane.usecases.deliveries import EVENTS_AT_ONCE, Deliveries, Tried
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock
from shared.model.ids import OrgName

AT_ONCE = 64
OF_ORG = 8
KEEP = timedelta(days=30)
FORGET_EVERY = timedelta(minutes=5)
REST = Backoff(first=timedelta(seconds=2), at_most=timedelta(minutes=1), jitter=0.3)
"""Rest of a receiver; short, because each delivery has a delay of its own as well."""
_PAGE = 500
_MOST_LISTED = 5_000
"""Receivers that one pass lists; the next pass continues after them."""
_FORGOTTEN_AT_ONCE = 1_000

_Receiver = tuple[OrgName, str]
_START: _Receiver = (OrgName(""), "")


class DeliveryLoop:
    """Loop that reports recorded phases."""

    def __init__(
        self, database: Database, clock: Clock, deliveries: Deliveries, *, every: timedelta
    ) -> None:
        self._database = database
        self._clock = clock
        self._deliveries = deliveries
        self._every = every
        self._busy: set[_Receiver] = set()
        self._rests = Rests[_Receiver](REST, clock)
        self._after = _START

    async def run(self) -> None:
        async with asyncio.TaskGroup() as workers:

            async def start() -> None:
                await self._pass(workers)

            workers.create_task(
                run_periodically(
                    "old deliveries", self.forget_once, every=FORGET_EVERY, clock=self._clock
                ),
                name="old deliveries",
            )
            await run_periodically("deliveries", start, every=self._every, clock=self._clock)

    async def run_once(self) -> None:
        """Make deliveries, and send those that are due. Safe on every replica at once."""
        async with asyncio.TaskGroup() as workers:
            await self._pass(workers)

    async def forget_once(self) -> int:
        """Delete deliveries that ended longer than ``KEEP`` ago, in pages; return how many."""
        before, deleted, more = self._clock.now() - KEEP, 0, True
        while more:
            async with self._database.for_fleet("delete old deliveries") as fleet:
                page = await store.forget_deliveries(fleet, before=before, most=_FORGOTTEN_AT_ONCE)
            deleted += page
            more = page == _FORGOTTEN_AT_ONCE
        return deleted

    async def _pass(self, workers: asyncio.TaskGroup) -> None:
        await self._expand()
        self._rests.forget_old()
        due, last = await self._list_due()
        for receiver in due:
            if len(self._busy) >= AT_ONCE:
                return  # the next pass begins with this one
            self._after = receiver
            of_org = Counter(org for org, _ in self._busy)[receiver[0]]
            if (
                receiver not in self._busy
                and of_org < OF_ORG
                and not self._rests.is_resting(receiver)
            ):
                self._busy.add(receiver)
                workers.create_task(self._serve(receiver), name=f"deliveries of {receiver[0]}")
        self._after = last

    async def _expand(self) -> None:
        after = OrgName("")
        while orgs := await self._list_orgs(after):
            for org in orgs:
                with isolated("deliveries", org=org):
                    while await self._deliveries.expand(org) == EVENTS_AT_ONCE:
                        pass
            after = orgs[-1]

    async def _list_orgs(self, after: OrgName) -> Sequence[OrgName]:
        async with self._database.for_fleet("list the orgs with phases to report") as fleet:
            return await store.list_orgs_with_events(fleet, after=after, most=_PAGE)

    async def _list_due(self) -> tuple[Sequence[_Receiver], _Receiver]:
        """
        List receivers with a delivery that is due, from the one after ``_after`` on, and again
        from the first; at most ``_MOST_LISTED`` are looked at. Also returns the last one of these.
        """
        found: dict[_Receiver, None] = {}
        last, is_again = self._after, self._after == _START
        for _ in range(_MOST_LISTED // _PAGE):
            async with self._database.for_fleet("list receivers of notifications") as fleet:
                page = await store.list_targets(
                    fleet, after=last, most=_PAGE, now=self._clock.now()
                )
            found.update({(org, target): None for org, target, is_due in page if is_due})
            if len(page) == _PAGE:
                last = (page[-1][0], page[-1][1])
            elif is_again:
                return list(found), _START
            else:
                last, is_again = _START, True
        return list(found), last

    async def _serve(self, receiver: _Receiver) -> None:
        org, target = receiver
        try:
            with isolated("deliveries", org=org, target=target):
                while (tried := await self._deliveries.deliver_next(org, target)) is Tried.ENDED:
                    self._rests.end(receiver)
                if tried is Tried.FAILED:
                    self._rests.begin(receiver)
        finally:
            self._busy.discard(receiver)
