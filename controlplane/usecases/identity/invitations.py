"""
Use cases of joining an org: invitations by link, e-mail domains, logins of members.

An invitation is a credential: 256 random bits in a link, stored as a digest, used once. The link
of an org's first owner is one that an operator creates.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from controlplane.core.callers import Caller, Permission
from controlplane.core.deleted_orgs import explain_deletion
from controlplane.core.email_addresses import domain_of, is_same_address, parse_email
from controlplane.core.errors import (
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
)
from controlplane.core.identity import (
    MAX_INVITATIONS,
    MAX_MEMBERS,
    OPERATOR,
    OWNER_LINK_LIFE,
    CreatedInvitation,
    Invitation,
    Membership,
    NewBinding,
    NewInvitation,
    PrincipalKind,
    User,
    parse_life,
    parse_org,
)
from controlplane.core.lists import Listing
from controlplane.core.names import parse_domain, parse_project
from controlplane.core.roles import OWNER
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import invitations as store, members, orgs, roles, users
from controlplane.store.identity.deleted_orgs import find_deletion
from controlplane.store.identity.idempotency import claim_request
from controlplane.store.notify.changes import notify_grants
from controlplane.usecases.identity.audit import record
from controlplane.usecases.identity.roles import find_permissions, require_place
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of, new_secret
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName

log = logging.getLogger(__name__)

_KEPT = timedelta(days=30)
"""How long invitations are listed after they ended."""
_DEAD = "the invitation is used, expired or withdrawn; ask for a new one"


class Invitations:
    """Use cases of invitations; callers invite to roles whose permissions they hold."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self, caller: Caller, new: NewInvitation, *, request_id: str = ""
    ) -> CreatedInvitation:
        """
        Create an invitation and return it with its token, which is stored nowhere.

        NotFoundError (role, project, domain), NotAllowedError, ExhaustedError.
        """
        caller.require(Permission.MEMBER_WRITE, new.project, new.domain)
        invitation = self._invitation(caller, new)
        token = new_secret()
        async with self._database.for_org(caller.org) as tx:
            permissions = await find_permissions(tx, new.role, required=True)
            caller.require_all(permissions, new.project, new.domain)
            now = invitation.created_at
            earlier = await claim_request(
                tx,
                caller.subject,
                request_id,
                "invitation.create",
                {"invitation": str(new)},
                made=invitation.id,
                now=now,
            )
            if earlier is not None:
                return CreatedInvitation(invitation=await _get(tx, earlier), token=None)
            await require_place(tx, new.project, new.domain)
            await store.delete_expired(tx, now - _KEPT)
            if await store.count_invitations(tx) >= MAX_INVITATIONS:
                raise ExhaustedError(f"an org has at most {MAX_INVITATIONS} invitations")
            await store.create_invitation(tx, invitation, digest_of(token))
            detail = {
                "role": new.role,
                "email": invitation.email,
                "project": new.project,
                "domain": new.domain,
            }
            target = f"invitation:{invitation.id}"
            await record(tx, self._clock, caller, "invitation.create", target, detail=detail)
        return CreatedInvitation(invitation=invitation, token=token)

    async def create_owner_link(self, caller: Caller) -> SecretText:
        """
        Return the token of a one-time link for an owner of the caller's org, dead in 15 minutes.

        For operators: the org is created if it does not exist, and links that operators
        created before, and that are unused, end.
        """
        caller.require(Permission.ORG_WRITE)
        parse_org(caller.org)
        now = self._clock.now()
        new = NewInvitation(role=OWNER, life=OWNER_LINK_LIFE)
        invitation = self._invitation(caller, new)
        token = new_secret()
        async with self._database.for_org(caller.org) as tx:
            if await orgs.create_org(tx, "", by=caller.subject, now=now):
                await record(tx, self._clock, caller, "org.create", f"org:{caller.org}")
            deletion = await orgs.find_own_deletion(tx)
            if deletion is not None:
                raise ConflictError(
                    f"{explain_deletion(caller.org, deletion)}, with `volary org restore`"
                )
            await store.delete_open_of(tx, OPERATOR, OWNER)
            await store.create_invitation(tx, invitation, digest_of(token))
            target = f"invitation:{invitation.id}"
            detail = {"role": OWNER, "by": "owner link"}
            await record(tx, self._clock, caller, "invitation.create", target, detail=detail)
        log.info("owner link created", extra={"org": caller.org, "by": caller.subject})
        return token

    async def list(self, caller: Caller, listing: Listing) -> tuple[Sequence[Invitation], str]:
        """List invitations without their tokens, newest first by default."""
        caller.require(Permission.MEMBER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await store.list_invitations(tx, listing)

    async def get(self, caller: Caller, invitation_id: UUID) -> Invitation:
        """Return an invitation without its token; NotFoundError."""
        caller.require(Permission.MEMBER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx, invitation_id)

    async def withdraw(self, caller: Caller, invitation_id: UUID) -> None:
        """Withdraw an invitation; a member who joined by it stays. NotFoundError."""
        caller.require_somewhere(Permission.MEMBER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            invitation = await _get(tx, invitation_id)
            if not caller.may(Permission.MEMBER_WRITE, invitation.project, invitation.domain):
                raise NotFoundError("invitation", invitation_id)
            await store.delete_invitation(tx, invitation_id)
            target = f"invitation:{invitation_id}"
            await record(tx, self._clock, caller, "invitation.withdraw", target)

    async def find(self, token: SecretText) -> tuple[OrgName, Invitation]:
        """Return the open invitation of a link, for the page that asks to accept it; NotFoundError."""
        org = await self.find_org(token)
        async with self._database.for_org(org) as tx:
            found = await store.lock_invitation(tx, digest_of(token))
        if found is None or found.used_at or found.expires_at <= self._clock.now():
            raise NotFoundError("invitation", "of this link", remedy=_DEAD)
        return org, found

    async def find_org(self, token: SecretText) -> OrgName:
        """Return the org that a link leads to, for the page that asks to accept it; NotFoundError."""
        digest = digest_of(token)
        async with self._database.for_fleet("find the org of an invitation") as fleet:
            org = await store.find_org_of_invitation(fleet, digest)
            deletion = None if org is None else await find_deletion(fleet, org)
        if org is None or deletion is not None:
            raise NotFoundError("invitation", "of this link", remedy=_DEAD)
        return org

    async def accept(self, user: User, token: SecretText, *, peer: str = "") -> OrgName:
        """
        Make the user a member by an invitation, and return the org; idempotent for the same user.

        NotFoundError: no such link, used, expired or withdrawn. NotAllowedError: it is for
        another address. ConflictError: the user has a role in the org already.
        """
        org = await self.find_org(token)
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            invitation = await store.lock_invitation(tx, digest_of(token))
            if invitation is not None and invitation.used_by == user.id:
                return org
            if invitation is None or invitation.used_at or invitation.expires_at <= now:
                raise NotFoundError("invitation", "of this link", remedy=_DEAD)
            _require_address(invitation, user)
            await store.use_invitation(tx, invitation.id, user.id, now)
            await self._join(tx, user, invitation)
            target = f"user:{user.id}"
            detail = {"invitation": str(invitation.id), "role": invitation.role}
            await record(
                tx, self._clock, as_caller(user, org, peer), "member.join", target, detail=detail
            )
        log.info("member joined", extra={"org": org, "user": str(user.id)})
        return org

    async def require_owner_link(self, org: OrgName, token: SecretText) -> None:
        """Raise NotFoundError unless the token is of an open link that an operator created."""
        async with self._database.for_org(org) as tx:
            invitation = await store.lock_invitation(tx, digest_of(token))
        self._require_open_owner_link(invitation)

    async def use_owner_link(
        self, user: User, org: OrgName, token: SecretText, *, peer: str = ""
    ) -> None:
        """
        Make the user an owner of the org by an operator's link, which is used up; NotFoundError.

        An owner who comes back with another link stays one.
        """
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            invitation = self._require_open_owner_link(
                await store.lock_invitation(tx, digest_of(token))
            )
            await store.use_invitation(tx, invitation.id, user.id, now)
            if not await members.save_seen(tx, user, None, now):
                await require_space(tx)
                await members.add_member(tx, user, OWNER, source="invitation", now=now)
            else:
                await members.set_role(tx, user.id, OWNER)
            await notify_grants(tx, [user.subject])
            detail = {"invitation": str(invitation.id), "role": OWNER, "by": "owner link"}
            caller = as_caller(user, org, peer)
            await record(tx, self._clock, caller, "member.join", f"user:{user.id}", detail=detail)
        log.info("owner link used", extra={"org": org, "user": str(user.id), "peer": peer})

    def _require_open_owner_link(self, invitation: Invitation | None) -> Invitation:
        if (
            invitation is None
            or not invitation.is_owner_link
            or invitation.used_at
            or invitation.expires_at <= self._clock.now()
        ):
            raise NotFoundError("invitation", "of this link", remedy=_DEAD)
        return invitation

    async def list_joinable(self, user: User) -> Sequence[Membership]:
        """List the orgs that the user may join by the domain of a verified e-mail address."""
        if not user.email_verified:
            return []
        async with self._database.for_fleet("find orgs to join by e-mail domain") as fleet:
            return await users.list_joinable(fleet, user.id, domain_of(user.email))

    async def join_by_email(
        self, user: User, org: OrgName, *, peer: str = "", by_call: bool = False
    ) -> None:
        """
        Make the user a member by their verified e-mail address; idempotent. NotFoundError.

        ``by_call``: by a program, whose login does not say at which provider the person logged in;
        NotAllowedError where the org requires its own. Pages ask before.
        """
        domain = domain_of(user.email)
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            allowed = await store.find_email_domain(tx, domain) if user.email_verified else None
            if allowed is None or await orgs.find_own_deletion(tx) is not None:
                raise NotFoundError("org", org)
            found = await orgs.find_org(tx)
            if by_call and found is not None and found.requires_own_provider:
                raise NotAllowedError(
                    f"org {org} requires its own identity provider; join it by logging in there, in"
                    " a browser"
                )
            if await members.find_member(tx, user.id) is not None:
                return
            await require_space(tx)
            if await members.add_member(tx, user, allowed.role, source="email_domain", now=now):
                await notify_grants(tx, [user.subject])
                detail = {"email_domain": domain, "role": allowed.role}
                caller = as_caller(user, org, peer)
                await record(
                    tx, self._clock, caller, "member.join", f"user:{user.id}", detail=detail
                )

    async def _join(self, tx: OrgTx, user: User, invitation: Invitation) -> None:
        now = self._clock.now()
        role = "" if invitation.project else invitation.role
        await require_space(tx)
        if not await members.add_member(tx, user, role, source="invitation", now=now) and role:
            member = await members.find_member(tx, user.id, lock=True)
            if member is None or member.role:
                raise ConflictError(
                    f"you are a member of org {tx.org} already; an owner can change your role"
                )
            await members.set_role(tx, user.id, role)
        if invitation.project:
            bound = NewBinding(
                kind=PrincipalKind.USER,
                principal=str(user.id),
                role=invitation.role,
                project=invitation.project,
                domain=invitation.domain,
            )
            by = invitation.created_by
            await roles.add_binding(tx, new_uuid(now), bound, by=by, now=now)
        await notify_grants(tx, [user.subject])

    def _invitation(self, caller: Caller, new: NewInvitation) -> Invitation:
        now = self._clock.now()
        if new.domain and not new.project:
            raise InvalidError("domain: an invitation to a domain names the domain's project")
        if new.project:
            parse_project(new.project)
        if new.domain:
            parse_domain(new.domain)
        return Invitation(
            id=new_uuid(now),
            role=new.role,
            email=parse_email(new.email) if new.email else "",
            project=new.project,
            domain=new.domain,
            created_by=caller.subject,
            created_at=now,
            expires_at=now + parse_life(new.life),
            used_at=None,
            used_by=None,
        )


async def _get(tx: OrgTx, invitation: UUID) -> Invitation:
    found = await store.find_invitation(tx, invitation)
    if found is None:
        raise NotFoundError("invitation", invitation)
    return found


async def require_space(tx: OrgTx) -> None:
    if await members.count_members(tx) >= MAX_MEMBERS:
        raise ExhaustedError(f"an org has at most {MAX_MEMBERS} members")


def _require_address(invitation: Invitation, user: User) -> None:
    if not invitation.email:
        return
    if not user.email_verified or not is_same_address(invitation.email, user.email):
        raise NotAllowedError(
            "the invitation is for another e-mail address; log in with the account that has it"
        )


def as_caller(user: User, org: OrgName, peer: str) -> Caller:
    return Caller(subject=user.subject, org=org, name=user.name, email=user.email, peer=peer)
