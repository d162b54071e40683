"""Use cases of single entries of the result cache: what an operator or another program calls."""

from datetime import timedelta

from controlplane.core.caching import CacheEntry, CachePlace
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import AlreadyExistsError, InvalidError, NotFoundError
from controlplane.store.database import Database
from controlplane.store.dispatch import cache_objects as store
from controlplane.store.resources.domains import require_domain
from controlplane.store.resources.projects import find_project
from controlplane.usecases.blob_access import BlobAccess
from shared.kit.clock import Clock


class CacheEntries:
    """Reads, puts and deletes entries; ``access`` checks where their outputs lie."""

    def __init__(self, database: Database, clock: Clock, access: BlobAccess) -> None:
        self._database = database
        self._clock = clock
        self._access = access

    async def get(self, caller: Caller, place: CachePlace) -> CacheEntry:
        """Return an entry; its outputs may be gone. NotFoundError."""
        caller.require(Permission.BLOB_READ, place.project, place.domain)
        async with self._database.for_org(caller.org) as tx:
            found = await store.find_entry(tx, place)
        if found is None:
            raise NotFoundError("cache entry", place)
        return found

    async def put(
        self,
        caller: Caller,
        place: CachePlace,
        *,
        output_uri: str,
        task_name: str,
        overwrite: bool,
        max_age: timedelta | None,
    ) -> None:
        """
        Store an entry, whose outputs must lie in its own project and domain.

        A caller that may take the entry may so read its outputs, too. InvalidError, NotFoundError
        (domain, project), AlreadyExistsError: there is an entry, not older than ``max_age``.
        """
        caller.require(Permission.BLOB_WRITE, place.project, place.domain)
        self._access.require_writable(caller, output_uri, "output.output_uri")
        if not self._access.is_in(caller, output_uri, place.project, place.domain):
            raise InvalidError(
                "output.output_uri: must name a place of this org's data in project"
                f" {place.project}, domain {place.domain}: the folder that has outputs.pb"
            )
        async with self._database.for_org(caller.org) as tx:
            await require_domain(tx, place.domain)
            if await find_project(tx, place.project) is None:
                raise NotFoundError("project", place.project)
            stored = await store.put_entry(
                tx,
                place,
                output_uri=output_uri,
                task_name=task_name,
                overwrite=overwrite,
                max_age=max_age,
                now=self._clock.now(),
            )
        if not stored:
            raise AlreadyExistsError(
                f"cache entry {place} exists; set overwrite.overwrite, or overwrite.max_age to"
                " replace an older one"
            )

    async def delete(self, caller: Caller, place: CachePlace) -> None:
        """Delete an entry; its outputs stay. NotFoundError."""
        caller.require(Permission.BLOB_WRITE, place.project, place.domain)
        async with self._database.for_org(caller.org) as tx:
            if not await store.delete_entry(tx, place):
                raise NotFoundError("cache entry", place)
