"""Use cases of scoped settings: read, create and replace them, and resolve what applies to a run."""

import logging
from collections.abc import Sequence

from controlplane.core import layout
from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    InvalidError,
    NotFoundError,
    NotReadyError,
    QueueNotFoundError,
)
from controlplane.core.scoped_settings import (
    Effective,
    Settings,
    SettingsRecord,
    require_consistent,
    require_valid,
    resolve,
)
from controlplane.core.scopes import Scope
from controlplane.store.database import Database, OrgTx
from controlplane.store.resources import scoped_settings as store
from controlplane.store.resources.domains import require_domain
from controlplane.store.resources.projects import find_project
from controlplane.store.resources.queues import find_queue
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import DomainName, OrgName, ProjectName

log = logging.getLogger(__name__)


class ScopedSettings:
    """
    Use cases of scoped settings.

    ``base`` is the prefix below which every org's data lies; "" in a program that does not know
    it, which then refuses directories.
    """

    def __init__(self, database: Database, clock: Clock, *, base: str) -> None:
        self._database = database
        self._clock = clock
        self._base = base

    async def list_levels(self, caller: Caller, scope: Scope) -> Sequence[SettingsRecord]:
        """
        Return what the scope and those above store, broadest first.

        Who may read a scope's settings may read those that it inherits: they apply to its runs.
        """
        caller.require(Permission.SETTINGS_READ, scope.project, scope.domain)
        async with self._database.for_org(caller.org) as tx:
            await _require_scope(tx, scope)
            return await store.list_records(tx, scope)

    async def create(self, caller: Caller, scope: Scope, settings: Settings) -> SettingsRecord:
        """Store a scope's first settings; AlreadyExistsError when it has some."""
        caller.require(Permission.SETTINGS_WRITE, scope.project, scope.domain)
        require_valid(settings)
        async with self._database.for_org(caller.org) as tx:
            await self._require_applicable(tx, scope, settings)
            now = self._clock.now()
            if not await store.create_record(tx, scope, settings, by=caller.subject, now=now):
                raise AlreadyExistsError(
                    f"{scope} has settings; read them again and update them by their version"
                )
            await self._record(tx, caller, "settings.create", scope, settings)
        log.info("settings created", extra={"org": caller.org, "scope": str(scope)})
        return SettingsRecord(scope=scope, settings=settings, version=1)

    async def update(
        self, caller: Caller, scope: Scope, settings: Settings, *, version: int
    ) -> SettingsRecord:
        """
        Replace all settings of a scope; equal ones keep their version.

        NotFoundError: the scope has none. NotReadyError: they were changed since ``version``.
        """
        caller.require(Permission.SETTINGS_WRITE, scope.project, scope.domain)
        if version <= 0:
            raise InvalidError(
                "version: is missing; give the version that was read, or create the settings"
            )
        require_valid(settings)
        async with self._database.for_org(caller.org) as tx:
            stored = await store.lock_record(tx, scope)
            if stored is None:
                await _require_scope(tx, scope)
                raise NotFoundError("settings", f"of {scope} (create them)")
            if stored.version != version:
                raise NotReadyError(
                    f"the settings of {scope} have version {stored.version}, not {version}: they"
                    " were changed meanwhile; reload them and make your change again"
                )
            if stored.settings == settings:
                return stored
            await self._require_applicable(tx, scope, settings)
            now = self._clock.now()
            await store.replace_record(
                tx, scope, settings, version=version, by=caller.subject, now=now
            )
            await self._record(tx, caller, "settings.update", scope, settings)
        log.info("settings updated", extra={"org": caller.org, "scope": str(scope)})
        return SettingsRecord(scope=scope, settings=settings, version=version + 1)

    async def resolve(self, org: OrgName, project: ProjectName, domain: DomainName) -> Effective:
        """Return what applies to a run that is created now; NotFoundError for a missing domain."""
        async with self._database.for_org(org) as tx:
            await require_domain(tx, domain)
            return resolve(await store.list_records(tx, Scope(domain, project)))

    async def find_run_base(self, caller: Caller, project: ProjectName, domain: DomainName) -> str:
        """Return the base that runs of this project and domain get; "" is the store's."""
        caller.require(Permission.BLOB_WRITE, project, domain)
        found = (await self.resolve(caller.org, project, domain)).get("run.run_base_dir")
        return "" if found is None else str(found.value)

    async def _require_applicable(self, tx: OrgTx, scope: Scope, settings: Settings) -> None:
        """Raise unless the scope exists and its runs could be created with these settings."""
        await _require_scope(tx, scope)
        own = SettingsRecord(scope=scope, settings=settings)
        above = (await store.list_records(tx, scope))[:-1]
        require_consistent(resolve([*above, own]))
        queue = settings.get("run.default_queue")
        if queue is not None and queue.value and await find_queue(tx, str(queue.value)) is None:
            raise QueueNotFoundError(str(queue.value))
        for key, is_foreign in (
            ("run.run_base_dir", not_below),
            ("storage.raw_data_path", layout.is_of_another_org),
        ):
            value = settings[key].value if key in settings else None
            if value and not self._base:
                raise NotReadyError(
                    f"{key}: cannot be checked without the control plane's VOLARY_BLOB_BASE; set"
                    " it here too, or give --url to change settings over the API"
                )
            if value and is_foreign(self._base, tx.org, f"{value}".rstrip("/")):
                raise InvalidError(f"{key}: must lie below {layout.org_base(self._base, tx.org)}/")

    async def _record(
        self, tx: OrgTx, caller: Caller, action: str, scope: Scope, settings: Settings
    ) -> None:
        target = f"settings:{scope.domain}/{scope.project}".rstrip("/")
        detail = {"keys": ", ".join(sorted(settings))}  # values may be long, and variables private
        await record(tx, self._clock, caller, action, target, detail=detail)


def not_below(base: str, org: OrgName, uri: str) -> bool:
    """Return whether a directory lies outside of the org's prefix."""
    return not layout.belongs_to(base, org, f"{uri}/")


async def _require_scope(tx: OrgTx, scope: Scope) -> None:
    """Raise NotFoundError for a domain or project that does not exist."""
    if scope.domain:
        await require_domain(tx, DomainName(scope.domain))
    if scope.project and await find_project(tx, ProjectName(scope.project)) is None:
        raise NotFoundError("project", scope.project)
