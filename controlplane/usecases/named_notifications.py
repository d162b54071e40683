"""Use cases of named notification rules and delivery configurations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from secrets import token_bytes

from controlplane.core.callers import Caller, Permission
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    NotFoundError,
    NotReadyError,
)
from controlplane.core.identity import require_version
from controlplane.core.lists import MAX_LIMIT
from controlplane.core.named_notifications import (
    MOST_NAMED,
    DeliveryConfig,
    Named,
    NamedKind,
    NamedRow,
    NamedRule,
    has_same_content,
    kind_of,
    require_named,
)
from controlplane.core.webhook_signatures import (
    DEFAULT_OVERLAP,
    SECRET_BYTES,
    SigningSecret,
    make_signing_secret,
    replace_secret,
)
from controlplane.store.database import Database, OrgTx
from controlplane.store.notify import named as store
from controlplane.usecases.identity.audit import record
from controlplane.usecases.sealed_configs import SealedConfigs
from controlplane.usecases.senders import Senders
from shared.kit.clock import Clock

_MOST_SHOWN = 20  # names in an error
_UPDATE_TRIES = 5
_AUDITED = {NamedKind.CONFIG: "delivery_config", NamedKind.RULE: "notification_rule"}


class NamedNotifications:
    """
    Use cases of both kinds.

    Reading a delivery configuration needs ``notification:write``: addresses and headers may be
    secret. It is sealed and opened outside of transactions.
    """

    def __init__(
        self, database: Database, clock: Clock, senders: Senders, sealed: SealedConfigs
    ) -> None:
        self._database = database
        self._clock = clock
        self._senders = senders
        self._sealed = sealed

    async def get(self, caller: Caller, kind: NamedKind, name: str) -> Named:
        """Return one; NotFoundError lists those that exist."""
        caller.require(_permission_to_read(kind))
        return await self._sealed.open(caller.org, await self._find(caller, kind, name))

    async def list(
        self, caller: Caller, kind: NamedKind, *, limit: int = MAX_LIMIT, after: str = ""
    ) -> tuple[Sequence[Named], str]:
        """List them by name, and the name after which the next page begins; "" at the end."""
        caller.require(_permission_to_read(kind))
        async with self._database.for_org(caller.org) as tx:
            found = await store.list_named(tx, kind, after=after, most=limit + 1)
        page = [await self._sealed.open(caller.org, row) for row in found[:limit]]
        return page, found[limit - 1].name if len(found) > limit else ""

    async def create(self, caller: Caller, named: Named) -> Named:
        """Create one; idempotent for the same content, else AlreadyExistsError."""
        caller.require(Permission.NOTIFICATION_WRITE)
        kind = kind_of(named)
        self._require(named)
        row = await self._sealed.seal(caller.org, named, version=1)
        async with self._database.for_org(caller.org) as tx:
            await _require_configs(tx, named)
            count = await store.count_named(tx, kind)
            existing = await store.lock_named(tx, kind, named.name)
            if existing is None:
                if count >= MOST_NAMED:
                    raise ExhaustedError(
                        f"an org has at most {MOST_NAMED} {kind.noun}s; delete one that is unused"
                    )
                await store.insert_named(tx, row, caller.subject, self._clock.now())
                await self._record(tx, caller, "create", named)
                return replace(named, version=1)
        found = await self._sealed.open(caller.org, existing)
        if not has_same_content(found, named):
            raise AlreadyExistsError(
                f"{kind.noun} {named.name} exists with other content; update it, or choose"
                " another name"
            )
        return found

    async def update(self, caller: Caller, named: Named, fields: Mapping[str, object]) -> Named:
        """
        Change ``fields`` of the one with this name and, unless 0, this version.

        Runs that name it are notified with the new content. NotFoundError, ConflictError.
        """

        def change(existing: Named) -> Named:
            changed = replace(existing, **fields)  # type: ignore[arg-type]  # of its class
            return existing if has_same_content(existing, changed) else changed

        return await self._change(caller, named, change, "update")

    async def rotate_signing_secret(
        self, caller: Caller, config: DeliveryConfig, *, overlap: timedelta | None
    ) -> tuple[DeliveryConfig, SigningSecret]:
        """
        Sign this configuration's webhook with a new secret, and by earlier ones for ``overlap``.

        The secret is answered this once. NotFoundError; NotReadyError for one without a webhook.
        """
        now = self._clock.now()
        new = make_signing_secret(token_bytes(SECRET_BYTES))

        def change(existing: Named) -> Named:
            if not isinstance(existing, DeliveryConfig) or existing.webhook is None:
                raise NotReadyError(
                    f"delivery configuration {existing.name} has no webhook, and mail is not"
                    " signed; give it a webhook first"
                )
            kept = DEFAULT_OVERLAP if overlap is None else overlap
            signing = replace_secret(existing.signing, new, now=now, overlap=kept)
            return replace(existing, signing=signing)

        changed = await self._change(caller, config, change, "rotate_signing_secret")
        if not isinstance(changed, DeliveryConfig):
            raise TypeError(f"{changed} is no delivery configuration")
        return changed, new

    async def _change(
        self, caller: Caller, named: Named, change: Callable[[Named], Named], act: str
    ) -> Named:
        """Replace the one of this name by what ``change`` makes of it, at the version it read."""
        caller.require(Permission.NOTIFICATION_WRITE)
        kind = kind_of(named)
        for _ in range(_UPDATE_TRIES):
            row = await self._find(caller, kind, named.name)
            require_version(f"{kind.noun} {named.name}", row.version, named.version or None)
            existing = await self._sealed.open(caller.org, row)
            changed = change(existing)
            if changed is existing:
                return existing
            self._require(changed)
            becomes = await self._sealed.seal(caller.org, changed, version=row.version + 1)
            async with self._database.for_org(caller.org) as tx:
                await _require_configs(tx, changed)
                if await store.replace_named(tx, becomes, version=row.version):
                    await self._record(tx, caller, act, changed)
                    return replace(changed, version=becomes.version)
        raise ConflictError(f"{kind.noun} {named.name} is being changed by others; try again")

    async def _find(self, caller: Caller, kind: NamedKind, name: str) -> NamedRow:
        async with self._database.for_org(caller.org) as tx:
            return await require_existing(tx, kind, name)

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

    async def _record(self, tx: OrgTx, caller: Caller, act: str, named: "Named | NamedRow") -> None:
        noun = _AUDITED[named.kind if isinstance(named, NamedRow) else kind_of(named)]
        await record(tx, self._clock, caller, f"{noun}.{act}", f"{noun}:{named.name}")


async def require_existing(tx: OrgTx, kind: NamedKind, name: str) -> NamedRow:
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
