"""Use cases of domains: list, create, rename and delete them."""

from collections.abc import Sequence
from dataclasses import replace

from controlplane.core.callers import Caller, Permission
from controlplane.core.domains import MAX_DOMAINS, Domain
from controlplane.core.errors import (
    AlreadyExistsError,
    ExhaustedError,
    NotFoundError,
    NotReadyError,
)
from controlplane.store.database import Database
from controlplane.store.resources import domains as store
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import DomainName


class Domains:
    """Use cases of domains."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[Domain]:
        """List the org's domains, oldest first; the caller may read some project."""
        caller.require_somewhere(Permission.PROJECT_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_domains(tx)

    async def get(self, caller: Caller, id_: DomainName) -> Domain:
        """Return a domain; NotFoundError."""
        return _find(await self.list(caller), id_)

    async def create(self, caller: Caller, id_: DomainName, name: str) -> Domain:
        """Create a domain of all projects; AlreadyExistsError, ExhaustedError."""
        caller.require(Permission.PROJECT_WRITE)
        async with self._database.for_org(caller.org) as tx:
            domains = await store.lock_domains(tx)
            if any(each.id == id_ for each in domains):
                raise AlreadyExistsError(f"domain {id_} exists; rename it or choose another id")
            if len(domains) >= MAX_DOMAINS:
                raise ExhaustedError(f"an org has at most {MAX_DOMAINS} domains; delete one first")
            made = Domain(id_, name, self._clock.now())
            await store.save_domain(tx, made)
            await record(tx, self._clock, caller, "domain.create", f"domain:{id_}")
        return made

    async def rename(self, caller: Caller, id_: DomainName, name: str) -> Domain:
        """Give a domain another name for display; NotFoundError."""
        caller.require(Permission.PROJECT_WRITE)
        async with self._database.for_org(caller.org) as tx:
            renamed = replace(_find(await store.lock_domains(tx), id_), name=name)
            await store.save_domain(tx, renamed)
            await record(tx, self._clock, caller, "domain.update", f"domain:{id_}")
        return renamed

    async def delete(self, caller: Caller, id_: DomainName) -> None:
        """
        Delete a domain with its settings and secrets; its ended runs and its tasks stay.

        NotReadyError while it has a run that has not ended, or an active schedule. A run that is being created at this
        moment may still start.
        """
        caller.require(Permission.PROJECT_WRITE)
        async with self._database.for_org(caller.org) as tx:
            domains = await store.lock_domains(tx)
            domain = _find(domains, id_)
            if len(domains) == 1:
                raise NotReadyError(f"domain {id_} is the org's only one; create another first")
            live = await store.find_live_run(tx, id_)
            if live is not None:
                raise NotReadyError(
                    f"domain {id_} has runs that have not ended, such as {live}; abort them or wait"
                )
            schedule = await store.find_schedule(tx, id_)
            if schedule is not None:
                raise NotReadyError(
                    f"domain {id_} has triggers with schedules, such as {schedule}; deactivate or"
                    " delete them first"
                )
            await store.delete_domain(tx, domain)
            await record(tx, self._clock, caller, "domain.delete", f"domain:{id_}")


def _find(domains: Sequence[Domain], id_: DomainName) -> Domain:
    found = next((each for each in domains if each.id == id_), None)
    if found is None:
        raise NotFoundError("domain", id_, there_are=[each.id for each in domains])
    return found
