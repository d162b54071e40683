"""Ends what runs in deleted orgs, and erases their data when their time to be restored is over."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from controlplane.feeds.feeds import Feeds
from controlplane.loops.periodic import isolated, run_periodically
from controlplane.loops.rests import Rests
from controlplane.store.identity.deleted_orgs import DeletedOrg
from controlplane.usecases.identity.deleted_orgs import DeletedOrgs
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.ids import OrgName

_LONGEST_REST = timedelta(minutes=10)  # of an org that failed


class DeletedOrgLoop:
    """
    Loops over the deleted orgs; each pass goes on where any replica has stopped.

    One stops what runs, as soon as an org is deleted; the other erases, which may take hours.
    """

    def __init__(self, orgs: DeletedOrgs, feeds: Feeds, clock: Clock, *, every: timedelta) -> None:
        self._orgs = orgs
        self._feeds = feeds
        self._clock = clock
        self._every = every
        rest = Backoff(first=every, at_most=max(every, _LONGEST_REST), jitter=0.3)
        self._rests = Rests[tuple[str, OrgName]](rest, clock)

    async def run(self) -> None:
        wakeup = Wakeup()
        with self._feeds.revocations(wakeup):
            async with asyncio.TaskGroup() as loops:
                stopping = run_periodically(
                    "deleted orgs",
                    self.stop_once,
                    every=self._every,
                    clock=self._clock,
                    pause=wakeup.wait,
                )
                erasing = run_periodically(
                    "erasure of deleted orgs",
                    self.erase_once,
                    every=self._every,
                    clock=self._clock,
                )
                loops.create_task(stopping, name="stop deleted orgs")
                loops.create_task(erasing, name="erase deleted orgs")

    async def stop_once(self) -> int:
        """
        Stop what runs and end agents; return how many actions ended.

        Safe on every replica at once. An org that fails rests before it is tried again, and delays
        no other.
        """
        return await self._for_each("deleted orgs", self._orgs.stop)

    async def erase_once(self) -> int:
        """Erase what is due; return how many rows and objects. As safe as :meth:`stop_once`."""
        return await self._for_each("erasure of deleted orgs", self._erase_if_due)

    async def _erase_if_due(self, deleted: DeletedOrg) -> int:
        if deleted.deletion.erase_at > self._clock.now():
            return 0
        return await self._orgs.erase(deleted.name)

    async def _for_each(self, loop: str, act: Callable[[DeletedOrg], Awaitable[int]]) -> int:
        done = 0
        after = ""
        self._rests.forget_old()
        while page := await self._orgs.list(after):
            for each in page:
                item = (loop, each.name)
                if self._rests.is_resting(item):
                    continue
                self._rests.begin(item)
                with isolated(loop, org=each.name):
                    done += await act(each)
                    self._rests.end(item)
            after = page[-1].name
        return done
