"""Use cases of what people note on runs: they archive them, and hold them against deletion."""

from collections.abc import Sequence

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import InvalidError, NotFoundError, NotReadyError
from controlplane.core.run_holds import RunRetention
from controlplane.core.run_states import MAX_RUNS, RunState
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import run_states as store
from controlplane.store.resources.run_purges import find_retention
from controlplane.store.resources.runs import find_run
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import DomainName, ProjectName, RunId, RunKey, RunName


class RunStates:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def set_state(
        self,
        caller: Caller,
        project: ProjectName,
        domain: DomainName,
        runs: Sequence[RunName],
        state: RunState,
    ) -> Sequence[str]:
        """Set the state of all these runs or, NotFoundError, of none; return those that changed."""
        caller.require(Permission.RUN_ABORT, project, domain)
        names = list(dict.fromkeys(runs))
        if not 1 <= len(names) <= MAX_RUNS:
            raise InvalidError(f"runs: name from 1 to {MAX_RUNS}, not {len(names)}")
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_runs(tx, project, domain, names)
            if missing := [name for name in names if name not in found]:
                raise NotFoundError("run", RunKey(project, domain, missing[0]))
            if state is RunState.ARCHIVED:
                now = self._clock.now()
                return await store.archive(tx, found.values(), by=caller.subject, now=now)
            return await store.restore(tx, found.values())

    async def hold(self, caller: Caller, run: RunKey, reason: str) -> RunRetention:
        """Hold a run until it is released; NotFoundError, NotReadyError: it is being deleted."""
        caller.require(Permission.RUN_PURGE, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            run_id = await _find(tx, run)
            if not await store.hold(tx, run_id, by=caller.subject, reason=reason):
                raise NotReadyError(f"run {run} is being deleted, so it cannot be held any more")
            detail = {"reason": reason}
            await record(tx, self._clock, caller, "run.hold", f"run:{run}", detail=detail)
            return await _retention(tx, run)

    async def release(self, caller: Caller, run: RunKey) -> RunRetention:
        """End the hold of a person, if there is one; NotFoundError."""
        caller.require(Permission.RUN_PURGE, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            if await store.release(tx, await _find(tx, run)):
                await record(tx, self._clock, caller, "run.release", f"run:{run}")
            return await _retention(tx, run)


async def _find(tx: OrgTx, run: RunKey) -> RunId:
    found = await find_run(tx, run)
    if found is None:
        raise NotFoundError("run", run)
    return found


async def _retention(tx: OrgTx, run: RunKey) -> RunRetention:
    found = await find_retention(tx, run)
    if found is None:
        raise NotFoundError("run", run)
    return found[1]
