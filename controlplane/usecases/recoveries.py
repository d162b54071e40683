"""
Recovers actions of a run: takes over the results of another run's succeeded actions.

The outputs of a counterpart have to exist: a task or trace whose outputs are gone runs again, and so
does a trace without outputs, which the SDK does not replay. Outputs are looked for outside of
transactions, and only for what would be recovered.
"""

import asyncio
from dataclasses import replace

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import NotFoundError, NotReadyError
from controlplane.core.layout import belongs_to, outputs_uri
from controlplane.core.relations import (
    CheckedOutputs,
    Counterpart,
    RelationType,
    require_known,
)
from controlplane.core.runs import NewRun
from controlplane.store.database import Database
from controlplane.store.dispatch import recoveries as store
from controlplane.usecases.blob_errors import map_blob_errors
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.model.ids import ROOT, ActionName, OrgName, RunId

TRACES_PAGE = 1_000
CHECKS_AT_ONCE = 32
"""Outputs that one replica looks for in the store at once."""


class Recoveries:
    """Use cases of runs that recover another, and of reruns."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._check_slots = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def resolve(self, caller: Caller, new: NewRun) -> NewRun:
        """
        Find the run that ``new`` reruns or recovers, and whether its root is recovered at once.

        NotFoundError (no such run), NotReadyError (a run to recover is live), InvalidError (it
        has no action of a name that is to run again).
        """
        related, relation = new.related_run, new.relation
        if related is None or relation is None or relation.type is RelationType.SPAWN:
            return new
        caller.require(Permission.RUN_READ, related.project, related.domain)
        async with self._database.for_org(caller.org) as tx:
            source = await store.find_source(tx, related)
            if source is None:
                raise NotFoundError("run", related)
            if relation.type is not RelationType.RECOVER:
                return new
            if source.is_tracked:
                raise NotReadyError(
                    f"run {related} is a tracked one: a program ran its actions, under other names"
                    " than a run here gives them; rerun it (`flyte rerun`) instead of recovering it"
                )
            if source.is_live:
                raise NotReadyError(
                    f"run {related} has not ended ({source.phase.name}); wait for its end or"
                    f" abort it (`flyte abort run {related.name}`), then recover it"
                )
            require_known(await store.find_unknown(tx, source.id, new.forced), related)
        new = replace(new, source_run=source)
        if ROOT in new.forced or not source.recovers_root(new.spec.digest, new.input_uri):
            return new
        checked = await self.check(caller.org, source.root, has_outputs=new.spec.has_outputs)
        return replace(new, recovered=source.root) if checked.exist else new

    async def check(
        self, org: OrgName, counterpart: Counterpart, *, has_outputs: bool
    ) -> CheckedOutputs:
        """Return whether a task's outputs exist; a task without outputs need not write any."""
        uri = counterpart.output_uri
        exist = not has_outputs or await self._exists(org, outputs_uri(uri))
        return CheckedOutputs(uri, exist)

    async def recover_traces(self, org: OrgName, run: RunId, parent: ActionName) -> None:
        """Write the traces below ``parent`` that are not to run again, page by page."""
        after = ""
        while True:
            async with self._database.for_org(org) as tx:
                traces = await store.list_traces(tx, run, parent, after=after, most=TRACES_PAGE)
            exist = await self._filter_existing(org, [uri for _, uri in traces])
            names = [name for (name, _), there in zip(traces, exist, strict=True) if there]
            if names:
                async with self._database.for_org(org) as tx:
                    await store.recover_traces(tx, run, parent, names, self._clock.now())
            if len(traces) < TRACES_PAGE:
                return
            after = traces[-1][0]

    async def _filter_existing(self, org: OrgName, uris: list[str]) -> list[bool]:
        async with asyncio.TaskGroup() as checks:
            tasks = [checks.create_task(self._exists(org, uri)) for uri in uris]
        return [task.result() for task in tasks]

    async def _exists(self, org: OrgName, uri: str) -> bool:
        """Return whether the org has a blob at the URI; "" and those outside are none of its own."""
        if not belongs_to(self._blobs.base, org, uri):
            return False
        async with self._check_slots:
            with map_blob_errors():
                return await self._blobs.exists(uri)
