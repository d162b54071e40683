"""InvitationService and EmailDomainService: how people become members of an org."""

from controlplane.api.platform.conventions import (
    ListCall,
    parse_duration,
    parse_id,
    render_time,
)
from controlplane.api.platform.people import find_person
from controlplane.core.callers import Caller
from controlplane.core.email_domains import DomainClaim
from controlplane.core.identity import (
    INVITATION_LIFE,
    EmailDomain,
    Invitation,
    NewInvitation,
    link_to_join,
)
from controlplane.usecases.identity.email_domains import EmailDomains
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.orgs import Orgs
from controlplane.usecases.identity.users import Users
from shared.idl.platform.v1 import invitation_pb2 as pb
from shared.kit.secrets import SecretText


class InvitationService:
    """``public_url``: where the links of invitations lead to."""

    def __init__(self, invitations: Invitations, users: Users, public_url: str) -> None:
        self._invitations = invitations
        self._users = users
        self._public_url = public_url

    async def create_invitation(
        self, caller: Caller, request: pb.CreateInvitationRequest
    ) -> pb.CreateInvitationResponse:
        has_life = request.HasField("lifetime")
        new = NewInvitation(
            role=request.role,
            email=request.email,
            project=request.project,
            domain=request.domain,
            life=parse_duration(request.lifetime, "lifetime") if has_life else INVITATION_LIFE,
        )
        created = await self._invitations.create(caller, new, request_id=request.request_id)
        answer = pb.CreateInvitationResponse(invitation=_render(created.invitation))
        if created.token is not None:
            answer.link = link_to_join(self._public_url, created.token)
            answer.token = created.token.reveal()
        return answer

    async def get_invitation(
        self, caller: Caller, request: pb.GetInvitationRequest
    ) -> pb.GetInvitationResponse:
        found = await self._invitations.get(caller, parse_id(request.id, "id"))
        return pb.GetInvitationResponse(invitation=_render(found))

    async def list_invitations(
        self, caller: Caller, request: pb.ListInvitationsRequest
    ) -> pb.ListInvitationsResponse:
        call = ListCall(caller, request)
        found, token = await self._invitations.list(caller, call.listing)
        return pb.ListInvitationsResponse(
            invitations=map(_render, found), next_page_token=call.next_token(token)
        )

    async def withdraw_invitation(
        self, caller: Caller, request: pb.WithdrawInvitationRequest
    ) -> pb.WithdrawInvitationResponse:
        await self._invitations.withdraw(caller, parse_id(request.id, "id"))
        return pb.WithdrawInvitationResponse()

    async def accept_invitation(
        self, caller: Caller, request: pb.AcceptInvitationRequest
    ) -> pb.AcceptInvitationResponse:
        user = await find_person(self._users, caller, "accept an invitation")
        token = SecretText(request.token)
        org = await self._invitations.accept(user, token, peer=caller.peer)
        return pb.AcceptInvitationResponse(org=org)


class EmailDomainService:
    """``domains``: the use cases of claims."""

    def __init__(self, orgs: Orgs, domains: EmailDomains) -> None:
        self._orgs = orgs
        self._domains = domains

    async def claim_email_domain(
        self, caller: Caller, request: pb.ClaimEmailDomainRequest
    ) -> pb.ClaimEmailDomainResponse:
        claim = await self._domains.claim(caller, request.name, request.role)
        return pb.ClaimEmailDomainResponse(claim=_render_claim(claim))

    async def verify_email_domain(
        self, caller: Caller, request: pb.VerifyEmailDomainRequest
    ) -> pb.VerifyEmailDomainResponse:
        claim = await self._domains.verify(caller, request.name)
        return pb.VerifyEmailDomainResponse(claim=_render_claim(claim))

    async def list_email_domain_claims(
        self, caller: Caller, request: pb.ListEmailDomainClaimsRequest
    ) -> pb.ListEmailDomainClaimsResponse:
        call = ListCall(caller, request)
        page, token = call.slice(await self._domains.list(caller), lambda each: each.domain)
        return pb.ListEmailDomainClaimsResponse(
            claims=map(_render_claim, page), next_page_token=token
        )

    async def allow_email_domain(
        self, caller: Caller, request: pb.AllowEmailDomainRequest
    ) -> pb.AllowEmailDomainResponse:
        await self._orgs.allow_email_domain(caller, request.name, request.role)
        return pb.AllowEmailDomainResponse()

    async def list_email_domains(
        self, caller: Caller, request: pb.ListEmailDomainsRequest
    ) -> pb.ListEmailDomainsResponse:
        call = ListCall(caller, request)
        found = await self._orgs.list_email_domains(caller)
        page, token = call.slice(found, lambda each: each.domain)
        return pb.ListEmailDomainsResponse(
            email_domains=map(_render_domain, page), next_page_token=token
        )

    async def forbid_email_domain(
        self, caller: Caller, request: pb.ForbidEmailDomainRequest
    ) -> pb.ForbidEmailDomainResponse:
        await self._orgs.forbid_email_domain(caller, request.name)
        return pb.ForbidEmailDomainResponse()


def _render(invitation: Invitation) -> pb.Invitation:
    return pb.Invitation(
        id=str(invitation.id),
        role=invitation.role,
        email=invitation.email,
        project=invitation.project,
        domain=invitation.domain,
        created_by=invitation.created_by,
        created_at=render_time(invitation.created_at),
        expires_at=render_time(invitation.expires_at),
        used_at=render_time(invitation.used_at),
        used_by=str(invitation.used_by or ""),
    )


def _render_domain(domain: EmailDomain) -> pb.EmailDomain:
    return pb.EmailDomain(
        name=domain.domain,
        role=domain.role,
        created_by=domain.created_by,
        created_at=render_time(domain.created_at),
    )


def _render_claim(claim: DomainClaim) -> pb.EmailDomainClaim:
    return pb.EmailDomainClaim(
        name=claim.domain,
        role=claim.role,
        record_name=claim.record_name,
        record_value=claim.record_value,
        created_by=claim.created_by,
        created_at=render_time(claim.created_at),
        proven_at=render_time(claim.proven_at),
        checked_at=render_time(claim.checked_at),
        missing_since=render_time(claim.missing_since),
    )
