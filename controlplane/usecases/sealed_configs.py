"""
Seals delivery configurations at rest, and opens them; rules are stored as they are.

Sealing and opening may ask a key service, so that neither happens inside a transaction.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.core.errors import NotReadyError, UnfitDatabaseError
from controlplane.core.named_notifications import (
    DeliveryConfig,
    Named,
    NamedKind,
    NamedRow,
    kind_of,
    parse_config,
    render_config,
    render_content,
)
from controlplane.store.database import Database
from controlplane.store.notify import named as store
from controlplane.usecases.secret_keys import SecretKeys, UnopenableError
from shared.model.ids import OrgName
from shared.model.secrets import SecretName

log = logging.getLogger(__name__)

_PAGE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ResealedConfigs:
    """How many were sealed again; ``left`` are org and name of those that do not open."""

    resealed: int
    current: int
    left: tuple[tuple[OrgName, str], ...]


class SealedConfigs:
    """Turns delivery configurations and rules into rows, and back."""

    def __init__(self, keys: Callable[[], SecretKeys]) -> None:
        """``keys`` is called at the first use: commands without keys work with all else."""
        self._keys = keys

    async def seal(self, org: OrgName, named: Named, *, version: int) -> NamedRow:
        """Return the row to store; NotReadyError without a key, UnavailableError."""
        row = NamedRow(
            kind=kind_of(named), name=named.name, content=render_content(named), version=version
        )
        if not isinstance(named, DeliveryConfig):
            return row
        sealed = await self._keys().seal_own(
            _name(org, named.name), render_config(named), version=version, noun=_noun(named.name)
        )
        return NamedRow(
            kind=row.kind,
            name=row.name,
            content=row.content,
            envelope=sealed.envelope,
            keyring=sealed.keyring,
            version=version,
        )

    async def open(self, org: OrgName, row: NamedRow) -> Named:
        """Return what is stored; NotReadyError if no key here opens it, UnavailableError."""
        if row.kind is NamedKind.RULE:
            return row.rule
        return await self.open_config(org, row)

    async def open_config(self, org: OrgName, row: NamedRow) -> DeliveryConfig:
        """Return a delivery configuration; NotReadyError, UnavailableError."""
        try:
            content = await self._keys().open_own(
                _name(org, row.name), row.envelope, keyring=row.keyring, noun=_noun(row.name)
            )
        except UnopenableError as error:
            raise NotReadyError(f"{error}; ask its operator to add that key") from error
        return parse_config(row.name, content, row.version)

    async def require_keys(self, database: Database) -> None:
        """Raise UnfitDatabaseError if stored ones were sealed with a key that is not here."""
        async with database.for_fleet("compare the keys of delivery configurations") as fleet:
            found = await store.list_keyrings(fleet)
        own = self._keys().own_names
        strange = [each for each in found if each[1] not in own]
        if strange:
            count = sum(number for _, _, number in strange)
            names = ", ".join(sorted({keyring for _, keyring, _ in strange}))
            raise UnfitDatabaseError(
                f"{count} delivery configurations in the database were sealed with {names}, and"
                f" this control plane has {', '.join(own) or 'no key for them'}; add the missing"
                " key below the first line of VOLARY_SECRETS_KEY_FILE (or to"
                " VOLARY_SECRETS_KMS_KEYS), then run `volary secret reseal`"
            )

    async def reseal(self, database: Database) -> ResealedConfigs:
        """
        Seal every org's again that are not sealed with the current key.

        Idempotent, and safe while replicas serve: a row is replaced only at the version that was
        opened, which stays as it is.
        """
        async with database.for_fleet("list the orgs whose secrets are sealed again") as fleet:
            orgs = sorted({org for org, _, _ in await store.list_keyrings(fleet)})
        resealed = current = 0
        left: list[tuple[OrgName, str]] = []
        for org in orgs:
            after = ""
            while True:
                async with database.for_org(org) as tx:
                    rows = await store.list_named(tx, NamedKind.CONFIG, after=after, most=_PAGE)
                if not rows:
                    break
                for row in rows:
                    if row.keyring == self._keys().own_keyring:
                        current += 1
                    elif await self._reseal(database, org, row):
                        resealed += 1
                    else:
                        left.append((org, row.name))
                after = rows[-1].name
        return ResealedConfigs(resealed=resealed, current=current, left=tuple(left))

    async def _reseal(self, database: Database, org: OrgName, row: NamedRow) -> bool:
        try:
            config = await self.open_config(org, row)
            again = await self.seal(org, config, version=row.version)
        except NotReadyError as error:
            log.warning(
                "delivery configuration not sealed again",
                extra={"org": org, "config": row.name, "detail": str(error)},
            )
            return False
        async with database.for_org(org) as tx:
            # If it was changed meanwhile, that sealed it with the current key.
            await store.replace_named(tx, again, version=row.version)
        return True


def _name(org: OrgName, name: str) -> SecretName:
    """Return what an envelope is bound to; no secret's name has a space."""
    return SecretName(org=org, name=f"delivery configuration {name}")


def _noun(name: str) -> str:
    return f"delivery configuration {name}"
