"""Ends what runs in deleted orgs, and erases their data when their time to be restored is over."""

from datetime import timedelta

from controlplane.loops.periodic import isolated, run_periodically
from controlplane.usecases.identity.deleted_orgs import DeletedOrgs
from shared.kit.clock import Clock


class DeletedOrgLoop:
    """Loop over the deleted orgs; each pass goes on where any replica has stopped."""

    def __init__(self, orgs: DeletedOrgs, clock: Clock, *, every: timedelta) -> None:
        self._orgs = orgs
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        await run_periodically("deleted orgs", self.run_once, every=self._every, clock=self._clock)

    async def run_once(self) -> int:
        """
        Stop, then erase; return how many actions ended, and rows and objects were erased.

        Safe on every replica at once. An org that fails is tried again in the next pass, and delays
        no other.
        """
        done = 0
        after = ""
        while page := await self._orgs.list(after):
            for each in page:
                with isolated("deleted orgs", org=each.name):
                    done += await self._orgs.stop(each)
                    if each.deletion.erase_at <= self._clock.now():
                        done += await self._orgs.erase(each.name)
            after = page[-1].name
        return done
