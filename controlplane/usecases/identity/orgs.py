"""Use cases of orgs: create, rename, and list one's own; e-mail domains whose users may join."""

import logging
from collections.abc import Sequence

from controlplane.core.callers import Caller, Permission
from controlplane.core.credentials import EndedLogins
from controlplane.core.email_addresses import domain_of, parse_email_domain
from controlplane.core.errors import (
    AlreadyExistsError,
    ConflictError,
    ExhaustedError,
    NotAllowedError,
    NotFoundError,
)
from controlplane.core.identity import (
    MAX_EMAIL_DOMAINS,
    OPERATOR,
    EmailDomain,
    Membership,
    Org,
    User,
    explain_refusal,
    find_user_id,
    parse_display,
    parse_org,
    require_version,
)
from controlplane.core.roles import OWNER
from controlplane.store.credentials import login_revocations
from controlplane.store.credentials.login_revocations import LoginRevocation
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import (
    email_domain_claims,
    invitations,
    members,
    orgs as store,
    providers,
    users,
)
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.login_revocations import LoginRevocations
from controlplane.usecases.identity.roles import find_permissions
from shared.kit.clock import Clock
from shared.model.ids import OrgName

log = logging.getLogger(__name__)

_PAGE = 200


class Orgs:
    """Use cases of orgs; ``self_service``: every user may create one."""

    def __init__(self, database: Database, clock: Clock, *, self_service: bool) -> None:
        self._database = database
        self._clock = clock
        self._self_service = self_service
        self._revocations = LoginRevocations(database, clock)

    @property
    def is_self_service(self) -> bool:
        return self._self_service

    async def create(self, caller: Caller, name: str, display_name: str = "") -> Org:
        """
        Create an org whose owner is the caller, a user; idempotent for the same creator.

        NotAllowedError: only operators create orgs here. AlreadyExistsError.
        """
        user_id = find_user_id(caller.subject)
        if user_id is None:
            raise NotAllowedError("only a person can create an org; log in as one")
        if not self._self_service:
            raise NotAllowedError(
                "this installation lets its operator create orgs only; ask for `volary owner-link`"
            )
        org = parse_org(name)
        shown = parse_display(display_name, "display_name")
        async with self._database.for_fleet("read the user who creates an org") as fleet:
            user = await users.find_user(fleet, user_id)
        if user is None:
            raise NotAllowedError("your user does not exist any more; log in again")
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            if await store.create_org(tx, shown, by=caller.subject, now=now):
                await members.add_member(tx, user, OWNER, source="creator", now=now)
                await record(tx, self._clock, caller, "org.create", f"org:{org}")
            made = await _get(tx)
        if made.deletion is not None:
            raise AlreadyExistsError(
                f"there was an org {org}, and no other one gets its name; choose another name"
            )
        if made.created_by != caller.subject:
            raise AlreadyExistsError(f"org {org} exists; choose another name")
        log.info("org created", extra={"org": org, "by": caller.subject})
        return made

    async def get(self, caller: Caller) -> Org:
        """Return the caller's org."""
        caller.require(Permission.ORG_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx)

    async def update(
        self,
        caller: Caller,
        *,
        display_name: str | None = None,
        requires_own_provider: bool | None = None,
        version: int | None = None,
    ) -> Org:
        """
        Change the name that people see, or whether they must use the org's own identity provider.

        None keeps what there is. ConflictError if ``version`` is not the current one, or if the org
        has no enabled provider to require.
        """
        caller.require(Permission.ORG_WRITE)
        async with self._database.for_org(caller.org) as tx:
            org = await _get(tx, lock=True)
            require_version(f"org {caller.org}", org.version, version)
            shown = org.display_name
            if display_name is not None:
                shown = parse_display(display_name, "display_name")
                detail = {"name": shown}
                await record(
                    tx, self._clock, caller, "org.rename", f"org:{caller.org}", detail=detail
                )
            requires = org.requires_own_provider
            if requires_own_provider is not None:
                caller.require(Permission.IDENTITY_PROVIDER_WRITE)
                requires = requires_own_provider
                await self._record_requirement(tx, caller, requires=requires)
            await store.update_org(tx, display_name=shown, requires_own_provider=requires)
            changed = await _get(tx)
        if requires_own_provider:
            await self._revocations.finish(_elsewhere(caller.org))
        return changed

    async def admits(self, org: OrgName, provider_org: OrgName) -> bool:
        """Return whether people who logged in at a provider of ``provider_org`` may act in ``org``."""
        if provider_org == org:
            return True
        async with self._database.for_org(org) as tx:
            found = await store.find_org(tx)
        return not explain_refusal(org, found, provider_org)

    async def _record_requirement(self, tx: OrgTx, caller: Caller, *, requires: bool) -> None:
        """Record whether people must use the org's own identity provider; ConflictError."""
        if requires and not await providers.count_enabled(tx):
            raise ConflictError(
                f"org {caller.org} has no enabled identity provider, so no person could log in; add one"
                " with `volary identity-provider create`, and log in there once"
            )
        detail = {"required": str(requires).lower()}
        target = f"org:{caller.org}"
        await record(tx, self._clock, caller, "org.require_own_provider", target, detail=detail)
        if requires:
            await login_revocations.begin(tx, _elsewhere(caller.org), self._clock.now())
        else:
            await login_revocations.end(tx, _elsewhere(caller.org))

    async def list_mine(
        self, caller: Caller, *, limit: int = _PAGE, after: str = ""
    ) -> tuple[Sequence[Membership], str]:
        """List the orgs of a user by name; with the name after which the next page begins, or ""."""
        user = find_user_id(caller.subject)
        if user is None:
            return [], ""
        most = max(1, min(limit, _PAGE))
        async with self._database.for_fleet("list the orgs of a user") as tx:
            found = await users.list_memberships(tx, user, after=after, most=most + 1)
        return found[:most], found[most - 1].org if len(found) > most else ""

    async def allow_email_domain(self, caller: Caller, domain: str, role: str) -> None:
        """
        Let users with a verified address in ``domain`` join with ``role``.

        The caller's own address, as its provider verified it, must be in the domain, so
        that an org is not opened to a company that is not its own; operators vouch for it
        themselves. Idempotent; the role may change.
        """
        caller.require(Permission.ORG_WRITE)
        checked = parse_email_domain(domain)
        user_id = find_user_id(caller.subject)
        async with self._database.for_fleet("read the verified address of a user") as fleet:
            user = None if user_id is None else await users.find_user(fleet, user_id)
        if not caller.subject.startswith(OPERATOR) and not _is_of(user, checked):
            raise NotAllowedError(
                f"only a member with a verified address in {checked} can let its users join; or claim"
                f" it with `volary email-domain claim {checked}`, and prove it by a DNS record"
            )
        async with self._database.for_org(caller.org) as tx:
            caller.require_all(await find_permissions(tx, role))
            present = await invitations.list_email_domains(tx)
            if len(present) >= MAX_EMAIL_DOMAINS:
                raise ExhaustedError(f"an org has at most {MAX_EMAIL_DOMAINS} e-mail domains")
            now = self._clock.now()
            await invitations.save_email_domain(tx, checked, role, by=caller.subject, now=now)
            target = f"email_domain:{checked}"
            await record(
                tx, self._clock, caller, "email_domain.allow", target, detail={"role": role}
            )

    async def forbid_email_domain(self, caller: Caller, domain: str) -> None:
        """End joining by a domain, and its claim; those who have joined stay. NotFoundError."""
        caller.require(Permission.ORG_WRITE)
        checked = parse_email_domain(domain)
        async with self._database.for_org(caller.org) as tx:
            claimed = await email_domain_claims.delete_claim(tx, checked)
            if not await invitations.delete_email_domain(tx, checked) and not claimed:
                raise NotFoundError("e-mail domain", checked)
            await record(tx, self._clock, caller, "email_domain.forbid", f"email_domain:{checked}")

    async def list_email_domains(self, caller: Caller) -> Sequence[EmailDomain]:
        caller.require(Permission.ORG_READ)
        async with self._database.for_org(caller.org) as tx:
            return await invitations.list_email_domains(tx)


def _is_of(user: User | None, domain: str) -> bool:
    return user is not None and user.email_verified and domain_of(user.email) == domain


def _elsewhere(org: OrgName) -> LoginRevocation:
    return LoginRevocation(org, EndedLogins.OF_OTHER_PROVIDERS)


async def _get(tx: OrgTx, *, lock: bool = False) -> Org:
    org = await store.find_org(tx, lock=lock)
    if org is None:
        raise NotFoundError("org", OrgName(tx.org))
    return org
