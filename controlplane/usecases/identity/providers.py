"""
Use cases of identity providers: configure those of an org; find those that a person may use.

A client secret is write-only: it is sealed, bound to its provider, and opened for a login.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from controlplane.authn.sealing import Sealer
from controlplane.core.browser_sessions import CALLBACK, NO_ORG
from controlplane.core.callers import Caller, Permission
from controlplane.core.credentials import EndedLogins
from controlplane.core.email_addresses import domain_of, parse_email_domain
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
)
from controlplane.core.identity import Org, parse_display, require_version
from controlplane.core.identity_providers import (
    INSTALLATION,
    MAX_PROVIDERS,
    Provider,
    ProviderSettings,
    parse_claim,
    parse_issuer,
    parse_scopes,
)
from controlplane.store.credentials import login_revocations
from controlplane.store.credentials.login_revocations import LoginRevocation
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import orgs, providers as store, roles
from controlplane.store.identity.idempotency import claim_request
from controlplane.store.identity.providers import ProviderRow
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.login_revocations import LoginRevocations
from controlplane.usecases.identity.roles import find_permissions
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes, SecretText
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName

log = logging.getLogger(__name__)

_MAX_SECRET = 4_096


class IdentityProviders:
    """
    Use cases of providers.

    ``installation``: the operator's own provider, for people of every org. ``allow_http``: the
    operator lets providers be in a private network, without TLS.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        clock: Clock,
        *,
        installation: Provider | None = None,
        allow_http: bool = False,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._installation = installation
        self._allow_http = allow_http
        self._revocations = LoginRevocations(database, clock)

    async def list(self, caller: Caller) -> Sequence[Provider]:
        """List the org's providers by name, without their secrets."""
        caller.require(Permission.IDENTITY_PROVIDER_READ)
        async with self._database.for_org(caller.org) as tx:
            return [_describe(row) for row in await store.list_providers(tx)]

    async def get(self, caller: Caller, provider: UUID) -> Provider:
        """Return a provider of the org without its secret; NotFoundError."""
        caller.require(Permission.IDENTITY_PROVIDER_READ)
        async with self._database.for_org(caller.org) as tx:
            return _describe(await _get(tx, provider))

    async def create(
        self,
        caller: Caller,
        settings: ProviderSettings,
        secret: SecretText | None = None,
        *,
        request_id: str = "",
    ) -> Provider:
        """
        Add a provider to the org; its people log in there from then on.

        A provider decides who is in which group, so the caller must hold all that is bound to groups.
        AlreadyExistsError, NotAllowedError, NotFoundError (role), ExhaustedError.
        """
        caller.require(Permission.IDENTITY_PROVIDER_WRITE)
        checked = self._parse(settings)
        now = self._clock.now()
        id_ = new_uuid(now)
        row = ProviderRow(
            id=id_,
            org=caller.org,
            settings=checked,
            sealed_secret=self._seal(secret, caller.org, id_),
            created_by=caller.subject,
            created_at=now,
            version=1,
        )
        async with self._database.for_org(caller.org) as tx:
            await self._require_grants(tx, caller, checked)
            earlier = await claim_request(
                tx,
                caller.subject,
                request_id,
                "identity_provider.create",
                {"settings": str(checked)},  # not the secret: the digest would be one of it
                made=id_,
                now=now,
            )
            if earlier is not None:
                return _describe(await _get(tx, earlier))
            if await store.count_providers(tx) >= MAX_PROVIDERS:
                raise ExhaustedError(f"an org has at most {MAX_PROVIDERS} identity providers")
            if not await store.insert_provider(tx, row):
                raise AlreadyExistsError(
                    f"the org has a provider with the issuer {checked.issuer} and this client id;"
                    " update that one"
                )
            await self._record(tx, caller, "identity_provider.create", row)
        log.info(
            "identity provider created",
            extra={"org": caller.org, "issuer": checked.issuer, "by": caller.subject},
        )
        return _describe(row)

    async def update(
        self,
        caller: Caller,
        provider: UUID,
        settings: ProviderSettings,
        secret: SecretText | None = None,
        version: int | None = None,
    ) -> Provider:
        """
        Change a provider; ``secret`` None keeps the one there is. The issuer stays.

        NotFoundError, NotAllowedError, ConflictError if ``version`` is not the current one, or if the
        org requires its own provider and this is the last that is enabled.
        """
        caller.require(Permission.IDENTITY_PROVIDER_WRITE)
        checked = self._parse(settings)
        async with self._database.for_org(caller.org) as tx:
            org = await orgs.find_org(tx, lock=True)
            row = await _get(tx, provider, lock=True)
            require_version(f"identity provider {provider}", row.version, version)
            if row.settings.issuer != checked.issuer:
                raise InvalidError("issuer: it cannot change; create another provider")
            await self._require_grants(tx, caller, checked)
            sealed = row.sealed_secret
            if secret is not None:
                sealed = self._seal(secret, caller.org, provider)
            await store.update_provider(tx, provider, checked, sealed)
            await _require_enabled(tx, org)
            changed = replace(row, settings=checked, sealed_secret=sealed, version=row.version + 1)
            await self._record(tx, caller, "identity_provider.update", changed)
            if not checked.is_enabled:
                await login_revocations.begin(tx, _begun_at(row), self._clock.now())
        if not checked.is_enabled:
            await self._revocations.finish(_begun_at(row))
        return _describe(changed)

    async def delete(self, caller: Caller, provider: UUID) -> None:
        """
        Remove a provider; its people's sessions and programs are logged out, members stay.

        NotFoundError; ConflictError: the org requires its own provider, and this is the last.
        """
        caller.require(Permission.IDENTITY_PROVIDER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            org = await orgs.find_org(tx, lock=True)
            row = await _get(tx, provider, lock=True)
            await store.delete_provider(tx, provider)
            await _require_enabled(tx, org)
            await self._record(tx, caller, "identity_provider.delete", row)
            await login_revocations.begin(tx, _begun_at(row), self._clock.now())
        await self._revocations.finish(_begun_at(row))

    async def find(self, org: OrgName, provider: UUID) -> Provider:
        """Return an enabled provider with its secret, for a login; NotFoundError."""
        if provider == INSTALLATION and self._installation is not None and not org:
            return self._installation
        row = None
        if org:
            async with self._database.for_org(org) as tx:
                if await orgs.find_own_deletion(tx) is None:
                    row = await store.find_provider(tx, provider)
        if row is None or not row.settings.is_enabled:
            raise NotFoundError("identity provider", provider)
        return self._open(row)

    async def list_for_login(self, org: OrgName = NO_ORG) -> Sequence[Provider]:
        """List the enabled providers of an org, and the installation's, without secrets."""
        found: list[Provider] = []
        if org:
            async with self._database.for_org(org) as tx:
                is_deleted = await orgs.find_own_deletion(tx) is not None
                rows = [] if is_deleted else await store.list_providers(tx)
            found = [_describe(row) for row in rows if row.settings.is_enabled]
        if self._installation is not None:
            found.append(replace(self._installation, client_secret=None))
        return found

    async def list_of_email(self, email: str) -> Sequence[Provider]:
        """List the providers of the orgs that an e-mail address's domain belongs to."""
        async with self._database.for_fleet("find providers of an e-mail domain") as tx:
            orgs = await store.find_orgs_of_email_domain(tx, domain_of(email))
        found: list[Provider] = []
        for org in orgs:
            found += [
                each
                for each in await self.list_for_login(org)
                if domain_of(email) in each.settings.email_domains
            ]
        return found

    def _parse(self, settings: ProviderSettings) -> ProviderSettings:
        client_id = settings.client_id.strip()
        if not client_id or len(client_id) > 500 or not client_id.isprintable():
            raise InvalidError("client_id: use the id that the provider gave this service")
        if len(settings.email_domains) > 100:
            raise InvalidError("email_domains: use at most 100")
        return replace(
            settings,
            name=parse_display(settings.name, "name") or "Single sign-on",
            issuer=parse_issuer(settings.issuer, allow_http=self._allow_http),
            client_id=client_id,
            scopes=parse_scopes(settings.scopes),
            groups_claim=parse_claim(settings.groups_claim),
            email_domains=tuple(
                dict.fromkeys(parse_email_domain(each) for each in settings.email_domains)
            ),
        )

    async def _require_grants(self, tx: OrgTx, caller: Caller, settings: ProviderSettings) -> None:
        caller.require_all(await find_permissions(tx, settings.role))
        if settings.groups_claim:
            for bound in await roles.list_roles_of_groups(tx):
                permissions = await find_permissions(tx, bound.role)
                caller.require_all(permissions, bound.project, bound.domain)

    def _seal(self, secret: SecretText | None, org: OrgName, provider: UUID) -> bytes | None:
        if secret is None or not secret:
            return None
        if len(secret.reveal()) > _MAX_SECRET:
            raise InvalidError(f"client_secret: use at most {_MAX_SECRET} characters")
        return self._sealer.seal(SecretBytes(secret.reveal().encode()), _purpose(org, provider))

    def _open(self, row: ProviderRow) -> Provider:
        secret = None
        if row.sealed_secret is not None:
            opened = self._sealer.open(row.sealed_secret, _purpose(row.org, row.id))
            secret = SecretText(opened.reveal().decode())
        return replace(_describe(row), client_secret=secret)

    async def _record(self, tx: OrgTx, caller: Caller, action: str, row: ProviderRow) -> None:
        settings = row.settings
        detail = {
            "issuer": settings.issuer,
            "client_id": settings.client_id,
            "groups_claim": settings.groups_claim,
            "email_domains": " ".join(settings.email_domains),
            "role": settings.role,
            "enabled": str(settings.is_enabled).lower(),
        }
        target = f"identity_provider:{row.id}"
        await record(tx, self._clock, caller, action, target, detail=detail)


async def _get(tx: OrgTx, provider: UUID, *, lock: bool = False) -> ProviderRow:
    row = await store.find_provider(tx, provider, lock=lock)
    if row is None:
        raise NotFoundError("identity provider", provider)
    return row


async def _require_enabled(tx: OrgTx, org: Org | None) -> None:
    """Raise ConflictError if the org, which is locked, would require a provider and have none."""
    if org is not None and org.requires_own_provider and not await store.count_enabled(tx):
        raise ConflictError(
            f"org {tx.org} requires its own identity provider, and this is the last that is enabled;"
            " enable another one, or run `volary org update --no-require-identity-provider` first"
        )


def _begun_at(row: ProviderRow) -> LoginRevocation:
    return LoginRevocation(row.org, EndedLogins.OF_PROVIDER, row.id)


def callback_url(public_url: str) -> str:
    """Return the redirect address to register at providers."""
    return f"{public_url.rstrip('/')}{CALLBACK}"


def _purpose(org: OrgName, provider: UUID) -> str:
    return f"client secret of identity provider {provider} of org {org}"


def _describe(row: ProviderRow) -> Provider:
    return Provider(
        id=row.id,
        org=row.org,
        settings=row.settings,
        client_secret=None,
        created_by=row.created_by,
        created_at=row.created_at,
        version=row.version,
    )
