"""Use cases of lineage: the runs that took a version of an artifact, and what a run took and published."""

from collections.abc import Sequence
from uuid import UUID

from controlplane.core.artifact_lineage import MAX_PRODUCED_SHOWN, Consumer, RunArtifacts
from controlplane.core.artifacts import ArtifactKey
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import NotFoundError
from controlplane.store.database import Database
from controlplane.store.resources import artifact_uses as store
from controlplane.store.resources.runs import find_run
from shared.model.ids import RunKey

_NEWEST = UUID(int=2**128 - 1)


class ArtifactLineage:
    """Reads lineage; what the caller may not read is left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_consumers(
        self, caller: Caller, key: ArtifactKey, *, limit: int, before: UUID | None
    ) -> tuple[Sequence[Consumer], UUID | None]:
        """List a page of the runs that took a version, and the id where the next page begins."""
        caller.require(Permission.ARTIFACT_READ, key.name.project, key.name.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.list_consumers(tx, key, before=before or _NEWEST, most=limit)
        shown = [
            each
            for each in found
            if caller.may(Permission.RUN_READ, each.run.project, each.run.domain)
        ]
        return shown, found[-1].id if len(found) == limit else None

    async def of_run(self, caller: Caller, run: RunKey) -> RunArtifacts:
        """Return what a run took and published; NotFoundError."""
        caller.require(Permission.RUN_READ, run.project, run.domain)
        async with self._database.for_org(caller.org) as tx:
            run_id = await find_run(tx, run)
            if run_id is None:
                raise NotFoundError("run", run)
            consumed = await store.list_consumed(tx, run_id)
            produced = await store.list_produced(tx, run, most=MAX_PRODUCED_SHOWN + 1)
        return RunArtifacts(
            consumed=[key for key in consumed if _may_read(caller, key)],
            produced=[
                (key, action)
                for key, action in produced[:MAX_PRODUCED_SHOWN]
                if _may_read(caller, key)
            ],
            partial=len(produced) > MAX_PRODUCED_SHOWN,
        )


def _may_read(caller: Caller, key: ArtifactKey) -> bool:
    return caller.may(Permission.ARTIFACT_READ, key.name.project, key.name.domain)
