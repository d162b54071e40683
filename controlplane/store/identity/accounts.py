"""Stores service accounts and their API keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.core.identity import ApiKey, PrincipalKind, ServiceAccount
from controlplane.core.lists import Listing
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.identity_tables import api_keys, role_bindings, service_accounts
from controlplane.store.resources.filters import among, text_field, timestamp_field, uuids
from controlplane.store.resources.pages import Key, page
from controlplane.store.statements import not_deleted, statement
from shared.model.ids import OrgName

_ACCOUNT_FIELDS = among({
    "name": text_field(service_accounts.c.name),
    "created_by": text_field(service_accounts.c.created_by),
    "created_at": timestamp_field(service_accounts.c.created_at),
})  # fmt: skip
_KEY_FIELDS = among({
    "account_id": uuids(api_keys.c.account_id),
    "name": text_field(api_keys.c.name),
    "created_at": timestamp_field(api_keys.c.created_at),
    "expires_at": timestamp_field(api_keys.c.expires_at),
    "revoked_at": timestamp_field(api_keys.c.revoked_at),
})  # fmt: skip

_CHECK = statement(f"""
SELECT k.org, k.account_id, k.digest, k.expires_at FROM api_keys k
JOIN service_accounts a ON a.org = k.org AND a.account_id = k.account_id
WHERE k.key_id = :key_id AND k.revoked_at IS NULL AND a.disabled_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > :now) AND {not_deleted("k.org")}
""")
_USED = statement("""
WITH n AS MATERIALIZED (
    SELECT * FROM unnest(CAST(:key_ids AS uuid[]), CAST(:times AS timestamptz[])) AS u (key_id, at)
), free AS MATERIALIZED (
    SELECT k.org, k.key_id, n.at FROM n JOIN api_keys k ON k.key_id = n.key_id
    WHERE k.last_used_at IS NULL OR k.last_used_at < n.at
    FOR NO KEY UPDATE OF k SKIP LOCKED
)
UPDATE api_keys k SET last_used_at = f.at FROM free f
WHERE k.org = f.org AND k.key_id = f.key_id
""")


async def create_account(
    tx: OrgTx, account: UUID, name: str, description: str, *, by: str, now: datetime
) -> bool:
    """Insert a service account; False if the name is taken."""
    made = await tx.connection.execute(
        insert(service_accounts)
        .values(
            org=tx.org,
            account_id=account,
            name=name,
            description=description,
            created_by=by,
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(service_accounts.c.account_id)
    )
    return made.first() is not None


async def find_account(tx: OrgTx, account: UUID, *, lock: bool = False) -> ServiceAccount | None:
    query = select(service_accounts).where(
        service_accounts.c.org == tx.org, service_accounts.c.account_id == account
    )
    row = (await tx.connection.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else _parse_account(row)


async def find_account_by_name(tx: OrgTx, name: str) -> ServiceAccount | None:
    query = select(service_accounts).where(
        service_accounts.c.org == tx.org, service_accounts.c.name == name
    )
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse_account(row)


async def update_account(
    tx: OrgTx, account: UUID, *, name: str, description: str, disabled_at: datetime | None
) -> None:
    await tx.connection.execute(
        update(service_accounts)
        .where(service_accounts.c.org == tx.org, service_accounts.c.account_id == account)
        .values(
            name=name,
            description=description,
            disabled_at=disabled_at,
            version=service_accounts.c.version + 1,
        )
    )


async def delete_account(tx: OrgTx, account: UUID) -> None:
    """Delete a service account with its keys and role bindings."""
    await tx.connection.execute(
        delete(role_bindings).where(
            role_bindings.c.org == tx.org,
            role_bindings.c.principal_kind == PrincipalKind.SERVICE_ACCOUNT.value,
            role_bindings.c.principal_id == str(account),
        )
    )
    for table in (api_keys, service_accounts):
        await tx.connection.execute(
            delete(table).where(table.c.org == tx.org, table.c.account_id == account)
        )


async def count_accounts(tx: OrgTx) -> int:
    query = select(func.count()).where(service_accounts.c.org == tx.org)
    return int((await tx.connection.execute(query)).scalar_one())


async def list_accounts(tx: OrgTx, listing: Listing) -> tuple[Sequence[ServiceAccount], str]:
    """List service accounts, oldest first by default: ids sort by the time of creation."""
    oldest = (Key(uuids(service_accounts.c.account_id)),)
    query = select(service_accounts).where(service_accounts.c.org == tx.org)
    rows, token = await page(tx, query, _ACCOUNT_FIELDS, listing, oldest)
    return [_parse_account(row) for row in rows], token


async def create_key(tx: OrgTx, key: ApiKey, digest: bytes) -> None:
    await tx.connection.execute(
        insert(api_keys).values(
            org=tx.org,
            key_id=key.id,
            account_id=key.account,
            name=key.name,
            digest=digest,
            created_by=key.created_by,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


async def find_key(tx: OrgTx, key: UUID) -> ApiKey | None:
    query = select(api_keys).where(api_keys.c.org == tx.org, api_keys.c.key_id == key)
    row = (await tx.connection.execute(query)).first()
    return None if row is None else _parse_key(row)


async def revoke_keys(
    tx: OrgTx, now: datetime, *, key: UUID | None = None, account: UUID | None = None
) -> Sequence[UUID]:
    """Revoke one key, or all of an account; return those that were not revoked before."""
    chosen = api_keys.c.key_id == key if key is not None else api_keys.c.account_id == account
    done = await tx.connection.execute(
        update(api_keys)
        .where(api_keys.c.org == tx.org, chosen, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(api_keys.c.key_id)
    )
    return [row.key_id for row in done]


async def set_key_end(tx: OrgTx, key: UUID, ends_at: datetime) -> None:
    """Set when a key ends by itself."""
    await tx.connection.execute(
        update(api_keys)
        .where(api_keys.c.org == tx.org, api_keys.c.key_id == key)
        .values(expires_at=ends_at)
    )


async def delete_ended_keys(tx: OrgTx, before: datetime) -> None:
    """Delete the org's keys that were revoked or ended before a time."""
    ended = func.least(api_keys.c.revoked_at, api_keys.c.expires_at)  # ignores NULL
    await tx.connection.execute(delete(api_keys).where(api_keys.c.org == tx.org, ended < before))


async def count_keys(tx: OrgTx) -> int:
    query = select(func.count()).where(api_keys.c.org == tx.org)
    return int((await tx.connection.execute(query)).scalar_one())


async def list_keys(tx: OrgTx, listing: Listing) -> tuple[Sequence[ApiKey], str]:
    """List API keys, oldest first by default."""
    oldest = (Key(uuids(api_keys.c.key_id)),)
    query = select(api_keys).where(api_keys.c.org == tx.org)
    rows, token = await page(tx, query, _KEY_FIELDS, listing, oldest)
    return [_parse_key(row) for row in rows], token


async def find_valid_key(
    tx: FleetTx, key: UUID, now: datetime
) -> tuple[OrgName, UUID, bytes, datetime | None] | None:
    """Return a valid key's org, account, digest and end; None if it is no longer, or never was."""
    row = (await tx.connection.execute(_CHECK, {"key_id": key, "now": now})).first()
    return None if row is None else (OrgName(row.org), row.account_id, row.digest, row.expires_at)


async def save_uses(tx: FleetTx, uses: Mapping[UUID, datetime]) -> None:
    """Save when keys were last used; a locked key is left to the next time it is used."""
    values = {"key_ids": list(uses), "times": list(uses.values())}
    await tx.connection.execute(_USED, values)


def _parse_account(row: Any) -> ServiceAccount:
    return ServiceAccount(
        id=row.account_id,
        name=row.name,
        description=row.description,
        created_by=row.created_by,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        version=row.version,
    )


def _parse_key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.key_id,
        account=row.account_id,
        name=row.name,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
