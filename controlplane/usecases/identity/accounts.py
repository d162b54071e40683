"""Use cases of service accounts and API keys."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core.callers import Caller, Permission
from controlplane.core.credentials import CredentialKind
from controlplane.core.errors import (
    AlreadyExistsError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    NotReadyError,
)
from controlplane.core.identity import (
    KEEP_ENDED_KEYS,
    MAX_API_KEYS,
    MAX_KEY_OVERLAP,
    MAX_SERVICE_ACCOUNTS,
    ApiKey,
    CreatedApiKey,
    ServiceAccount,
    parse_display,
    require_version,
    subject_of_account,
)
from controlplane.core.lists import Listing
from controlplane.store.credentials.revocations import revoke
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import accounts as store
from controlplane.store.identity.idempotency import claim_request
from controlplane.store.notify.changes import notify_grants
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.roles import require_all_of
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of, new_secret
from shared.kit.uuids import new_uuid

log = logging.getLogger(__name__)


class ServiceAccounts:
    """Use cases of service accounts and their keys; a caller acts on accounts it outranks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller, listing: Listing) -> tuple[Sequence[ServiceAccount], str]:
        """List the org's service accounts, and return the token of the next page."""
        caller.require(Permission.SERVICE_ACCOUNT_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_accounts(tx, listing)

    async def get(self, caller: Caller, account: UUID) -> ServiceAccount:
        """Return a service account; NotFoundError."""
        caller.require(Permission.SERVICE_ACCOUNT_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx, account)

    async def create(
        self, caller: Caller, name: str, description: str = "", *, request_id: str = ""
    ) -> ServiceAccount:
        """Create a service account without any role; AlreadyExistsError when the name is taken."""
        caller.require(Permission.SERVICE_ACCOUNT_WRITE)
        shown = _parse_name(name)
        about = parse_display(description, "description")
        now = self._clock.now()
        made = new_uuid(now)
        async with self._database.for_org(caller.org) as tx:
            request = {"name": shown, "description": about}
            earlier = await claim_request(
                tx,
                caller.subject,
                request_id,
                "service_account.create",
                request,
                made=made,
                now=now,
            )
            if earlier is not None:
                return await _get(tx, earlier)
            if await store.count_accounts(tx) >= MAX_SERVICE_ACCOUNTS:
                raise ExhaustedError(f"an org has at most {MAX_SERVICE_ACCOUNTS} service accounts")
            if not await store.create_account(tx, made, shown, about, by=caller.subject, now=now):
                raise AlreadyExistsError(f"service account {shown} exists; choose another name")
            target = f"service_account:{made}"
            await record(
                tx, self._clock, caller, "service_account.create", target, detail={"name": shown}
            )
            account = await _get(tx, made)
        log.info("service account created", extra={"account": str(made), "by": caller.subject})
        return account

    async def update(
        self,
        caller: Caller,
        account_id: UUID,
        *,
        name: str | None = None,
        description: str | None = None,
        disabled: bool | None = None,
        version: int | None = None,
    ) -> ServiceAccount:
        """
        Change a service account; None leaves a part as it is.

        The keys of a disabled account are refused at once, and work again once it is enabled.
        NotFoundError, NotAllowedError, ConflictError if ``version`` is not the current one.
        """
        caller.require(Permission.SERVICE_ACCOUNT_WRITE)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            account = await _get(tx, account_id, lock=True)
            require_version(f"service account {account_id}", account.version, version)
            await require_all_of(tx, caller, account.subject)
            after = replace(
                account,
                name=account.name if name is None else _parse_name(name),
                description=account.description
                if description is None
                else parse_display(description, "description"),
                disabled_at=_disabled_at(account, now, disabled=disabled),
            )
            if after.name != account.name and await _is_taken(tx, after.name):
                raise AlreadyExistsError(f"service account {after.name} exists")
            await store.update_account(
                tx,
                account_id,
                name=after.name,
                description=after.description,
                disabled_at=after.disabled_at,
            )
            await notify_grants(tx, [account.subject])
            detail = {"name": after.name, "disabled": str(after.disabled_at is not None).lower()}
            target = f"service_account:{account_id}"
            await record(tx, self._clock, caller, "service_account.update", target, detail=detail)
            return await _get(tx, account_id)

    async def delete(self, caller: Caller, account_id: UUID) -> None:
        """Delete a service account with its role bindings; its keys end at once. NotFoundError."""
        caller.require(Permission.SERVICE_ACCOUNT_WRITE)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            account = await _get(tx, account_id, lock=True)
            await require_all_of(tx, caller, account.subject)
            await _revoke(tx, await store.revoke_keys(tx, now, account=account_id), now)
            await store.delete_account(tx, account_id)
            await notify_grants(tx, [account.subject])
            target = f"service_account:{account_id}"
            await record(
                tx,
                self._clock,
                caller,
                "service_account.delete",
                target,
                detail={"name": account.name},
            )
        log.info(
            "service account deleted", extra={"account": str(account_id), "by": caller.subject}
        )

    async def create_key(
        self,
        caller: Caller,
        account_id: UUID,
        name: str = "",
        *,
        expires_at: datetime | None = None,
        request_id: str = "",
    ) -> CreatedApiKey:
        """
        Create an API key and return it with its secret, which is stored nowhere.

        A repeated request returns the key without its secret. The caller must hold all that the
        account is granted: with the key it could do that. NotFoundError, NotAllowedError,
        NotReadyError (disabled account).
        """
        caller.require(Permission.SERVICE_ACCOUNT_WRITE)
        shown = parse_display(name, "name")
        now = self._clock.now()
        key, secret = _new_key(caller, account_id, shown, expires_at, now), new_secret()
        async with self._database.for_org(caller.org) as tx:
            account = await _get(tx, account_id, lock=True)
            await require_all_of(tx, caller, account.subject)
            request = {"account": str(account_id), "name": shown, "expires_at": expires_at}
            earlier = await claim_request(
                tx, caller.subject, request_id, "api_key.create", request, made=key.id, now=now
            )
            if earlier is not None:
                return CreatedApiKey(key=await _get_key(tx, earlier), secret=None)
            await _create_key(tx, account, key, secret)
            detail = {"account": account.name, "name": shown}
            await record(
                tx, self._clock, caller, "api_key.create", f"api_key:{key.id}", detail=detail
            )
        log.info("API key created", extra={"key": str(key.id), "by": caller.subject})
        return CreatedApiKey(key=key, secret=secret)

    async def rotate_key(
        self,
        caller: Caller,
        key_id: UUID,
        *,
        overlap: timedelta = timedelta(0),
        expires_at: datetime | None = None,
        request_id: str = "",
    ) -> CreatedApiKey:
        """
        Create a successor of a key, which ends after ``overlap``; zero revokes it at once.

        A repeated request returns the successor without its secret. NotFoundError,
        NotAllowedError, NotReadyError (the key has ended, or the account is disabled).
        """
        caller.require(Permission.SERVICE_ACCOUNT_WRITE)
        if not timedelta(0) <= overlap <= MAX_KEY_OVERLAP:
            raise InvalidError(f"overlap: must be between zero and {MAX_KEY_OVERLAP.days} days")
        now = self._clock.now()
        secret = new_secret()
        async with self._database.for_org(caller.org) as tx:
            account = await _get(tx, (await _get_key(tx, key_id)).account, lock=True)
            await require_all_of(tx, caller, account.subject)
            old = await _get_key(tx, key_id)  # as it is under the account's lock
            key = _new_key(caller, account.id, old.name, expires_at, now)
            request = {"key": str(key_id), "overlap": overlap, "expires_at": expires_at}
            earlier = await claim_request(
                tx, caller.subject, request_id, "api_key.rotate", request, made=key.id, now=now
            )
            if earlier is not None:
                return CreatedApiKey(key=await _get_key(tx, earlier), secret=None)
            if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
                raise NotReadyError(f"API key {key_id} has ended; create another one")
            await _create_key(tx, account, key, secret)
            if overlap:
                ends_at = min(now + overlap, old.expires_at or now + overlap)
                await store.set_key_end(tx, key_id, ends_at)
            else:
                await _revoke(tx, await store.revoke_keys(tx, now, key=key_id), now)
            detail = {"account": account.name, "replaces": str(key_id), "overlap": str(overlap)}
            await record(
                tx, self._clock, caller, "api_key.rotate", f"api_key:{key.id}", detail=detail
            )
        log.info("API key rotated", extra={"key": str(key.id), "by": caller.subject})
        return CreatedApiKey(key=key, secret=secret)

    async def get_key(self, caller: Caller, key_id: UUID) -> ApiKey:
        """Return an API key without its secret; NotFoundError."""
        caller.require(Permission.SERVICE_ACCOUNT_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get_key(tx, key_id)

    async def list_keys(self, caller: Caller, listing: Listing) -> tuple[Sequence[ApiKey], str]:
        """List API keys, revoked ones too; the filter ``account_id`` selects an account's."""
        caller.require(Permission.SERVICE_ACCOUNT_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_keys(tx, listing)

    async def revoke_key(self, caller: Caller, key_id: UUID) -> ApiKey:
        """Revoke a key: its access tokens are refused and its streams end. Idempotent."""
        caller.require(Permission.SERVICE_ACCOUNT_WRITE)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            key = await _get_key(tx, key_id)
            await require_all_of(tx, caller, subject_of_account(key.account))
            revoked = await store.revoke_keys(tx, now, key=key_id)
            if revoked:
                await _revoke(tx, revoked, now)
                await record(tx, self._clock, caller, "api_key.revoke", f"api_key:{key_id}")
            return await _get_key(tx, key_id)


def _new_key(
    caller: Caller, account: UUID, name: str, expires_at: datetime | None, now: datetime
) -> ApiKey:
    if expires_at is not None and expires_at <= now:
        raise InvalidError("expires_at: lies in the past; choose a later time")
    return ApiKey(
        id=new_uuid(now),
        account=account,
        name=name,
        created_by=caller.subject,
        created_at=now,
        expires_at=expires_at,
        last_used_at=None,
        revoked_at=None,
    )


async def _create_key(tx: OrgTx, account: ServiceAccount, key: ApiKey, secret: SecretText) -> None:
    if account.disabled_at is not None:
        raise NotReadyError(f"service account {account.name} is disabled; enable it first")
    if await store.count_keys(tx) >= MAX_API_KEYS:
        await store.delete_ended_keys(tx, key.created_at - KEEP_ENDED_KEYS)
        if await store.count_keys(tx) >= MAX_API_KEYS:
            raise ExhaustedError(
                f"an org has at most {MAX_API_KEYS} API keys, with those that were revoked or "
                f"ended in the last {KEEP_ENDED_KEYS.days} days; delete accounts, or revoke keys"
            )
    await store.create_key(tx, key, digest_of(secret))


async def _revoke(tx: OrgTx, keys: Sequence[UUID], now: datetime) -> None:
    for key in keys:
        await revoke(tx, tx.org, CredentialKind.API_KEY, str(key), now)


async def _get(tx: OrgTx, account: UUID, *, lock: bool = False) -> ServiceAccount:
    found = await store.find_account(tx, account, lock=lock)
    if found is None:
        raise NotFoundError("service account", account)
    return found


async def _get_key(tx: OrgTx, key: UUID) -> ApiKey:
    found = await store.find_key(tx, key)
    if found is None:
        raise NotFoundError("API key", key)
    return found


async def _is_taken(tx: OrgTx, name: str) -> bool:
    return await store.find_account_by_name(tx, name) is not None


def _parse_name(name: str) -> str:
    shown = parse_display(name, "name")
    if not shown:
        raise InvalidError("name: give the service account a name")
    return shown


def _disabled_at(
    account: ServiceAccount, now: datetime, *, disabled: bool | None
) -> datetime | None:
    if disabled is None:
        return account.disabled_at
    return (account.disabled_at or now) if disabled else None
