"""Use cases of named notification rules and delivery configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    NotFoundError,
)
from controlplane.core.identity import require_version
from controlplane.core.lists import MAX_LIMIT
from controlplane.core.named_notifications import (
    MOST_NAMED,
    DeliveryConfig,
    Named,
    NamedKind,
    NamedRule,
    has_same_content,
    kind_of,
    require_named,
)
from controlplane.store.database import Database, OrgTx
from controlplane.store.notify import named as store
from controlplane.usecases.deliveries import Senders
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock

_MOST_SHOWN = 20  # names in an error
_AUDITED = {NamedKind.CONFIG: "delivery_config", NamedKind.RULE: "notification_rule"}


class NamedNotifications:
    """
    Use cases of both kinds.

    Reading a delivery configuration needs ``notification:write``: addresses and headers may be
    secret.
    """

    def __init__(self, database: Database, clock: Clock, senders: Senders) -> None:
        self._database = database
        self._clock = clock
        self._senders = senders

    async def get(self, caller: Caller, kind: NamedKind, name: str) -> Named:
        """Return one; NotFoundError lists those that exist."""
        caller.require(_permission_to_read(kind))
        async with self._database.for_org(caller.org) as tx:
            return await require_existing(tx, kind, name)

    async def list(
        self, caller: Caller, kind: NamedKind, *, limit: int = MAX_LIMIT, after: str = ""
    ) -> tuple[Sequence[Named], str]:
        """List them by name, and the name after which the next page begins; "" at the end."""
        caller.require(_permission_to_read(kind))
        async with self._database.for_org(caller.org) as tx:
            found = await store.list_named(tx, kind, after=after, most=limit + 1)
        return found[:limit], found[limit - 1].name if len(found) > limit else ""

    async def create(self, caller: Caller, named: Named) -> Named:
        """Create one; idempotent for the same content, else AlreadyExistsError."""
        caller.require(Permission.NOTIFICATION_WRITE)
        kind = kind_of(named)
        self._require(named)
        async with self._database.for_org(caller.org) as tx:
            await _require_configs(tx, named)
            count = await store.count_named(tx, kind)
            existing = await store.lock_named(tx, kind, named.name)
            if existing is None:
                if count >= MOST_NAMED:
                    raise ExhaustedError(
                        f"an org has at most {MOST_NAMED} {kind.noun}s; delete one that is unused"
                    )
                await store.insert_named(tx, named, caller.subject, self._clock.now())
                await self._record(tx, caller, "create", named)
                return replace(named, version=1)
        if not has_same_content(existing, named):
            raise AlreadyExistsError(
                f"{kind.noun} {named.name} exists with other content; update it, or choose"
                " another name"
            )
        return existing

    async def update(self, caller: Caller, named: Named, fields: Mapping[str, object]) -> Named:
        """
        Change ``fields`` of the one with this name and, unless 0, this version.

        Runs that name it are notified with the new content. NotFoundError, ConflictError.
        """
        caller.require(Permission.NOTIFICATION_WRITE)
        kind = kind_of(named)
        async with self._database.for_org(caller.org) as tx:
            existing = await store.lock_named(tx, kind, named.name)
            if existing is None:
                existing = await require_existing(tx, kind, named.name)
            require_version(f"{kind.noun} {named.name}", existing.version, named.version or None)
            changed = replace(existing, **fields)  # type: ignore[arg-type]  # fields of its class
            self._require(changed)
            await _require_configs(tx, changed)
            if has_same_content(existing, changed):
                return existing
            await store.update_named(tx, changed)
            await self._record(tx, caller, "update", changed)
        return replace(changed, version=existing.version + 1)

    async def delete(self, caller: Caller, kind: NamedKind, name: str) -> None:
        """
        Delete one. Runs that name it are notified no longer.

        NotFoundError; ConflictError for a delivery configuration that rules name.
        """
        caller.require(Permission.NOTIFICATION_WRITE)
        async with self._database.for_org(caller.org) as tx:
            existing = await store.lock_named(tx, kind, name)
            if existing is None:
                existing = await require_existing(tx, kind, name)
            rules = await store.list_rules_of(tx, name) if kind is NamedKind.CONFIG else ()
            if rules:
                raise ConflictError(
                    f"delivery configuration {name} is named by {', '.join(rules)}; change or"
                    " delete these rules first"
                )
            await store.delete_named(tx, kind, name)
            await self._record(tx, caller, "delete", existing)

    def _require(self, named: Named) -> None:
        require_named(named)
        if isinstance(named, DeliveryConfig):
            self._senders.require(named, "delivery_config")

    async def _record(self, tx: OrgTx, caller: Caller, act: str, named: Named) -> None:
        noun = _AUDITED[kind_of(named)]
        await record(tx, self._clock, caller, f"{noun}.{act}", f"{noun}:{named.name}")


async def require_existing(tx: OrgTx, kind: NamedKind, name: str) -> Named:
    """Return one; NotFoundError lists those that exist."""
    found = await store.find_named(tx, kind, [name])
    if not found:
        there_are = await store.list_named(tx, kind, after="", most=_MOST_SHOWN)
        raise NotFoundError(kind.noun, name, there_are=[each.name for each in there_are])
    return found[0]


async def _require_configs(tx: OrgTx, named: Named) -> None:
    """Raise NotFoundError if a rule names a delivery configuration that does not exist."""
    if isinstance(named, NamedRule):
        found = await store.share_named(tx, NamedKind.CONFIG, named.configs)
        missing = sorted({*named.configs} - found)
        if missing:
            raise NotFoundError(
                NamedKind.CONFIG.noun, missing[0], remedy="create it before the rule that names it"
            )


def _permission_to_read(kind: NamedKind) -> Permission:
    if kind is NamedKind.CONFIG:
        return Permission.NOTIFICATION_WRITE
    return Permission.NOTIFICATION_READ
