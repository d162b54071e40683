"""OrgService: the caller's org, the orgs that they are a member of, and new ones."""

from controlplane.api.platform.conventions import ListCall, parse_mask, parse_version, render_time
from controlplane.api.platform.people import find_person
from controlplane.core.callers import Caller
from controlplane.core.identity import Membership, Org, parse_org
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.org_deletion import OrgDeletion
from controlplane.usecases.identity.orgs import Orgs
from controlplane.usecases.identity.users import Users
from shared.idl.platform.v1 import org_pb2 as pb


class OrgService:
    def __init__(
        self, orgs: Orgs, deletion: OrgDeletion, invitations: Invitations, users: Users
    ) -> None:
        self._orgs = orgs
        self._invitations = invitations
        self._users = users
        self._deletion = deletion

    async def create_org(
        self, caller: Caller, request: pb.CreateOrgRequest
    ) -> pb.CreateOrgResponse:
        org = await self._orgs.create(caller, request.name, request.display_name)
        return pb.CreateOrgResponse(org=_render(org))

    async def get_org(self, caller: Caller, _request: pb.GetOrgRequest) -> pb.GetOrgResponse:
        return pb.GetOrgResponse(org=_render(await self._orgs.get(caller)))

    async def update_org(
        self, caller: Caller, request: pb.UpdateOrgRequest
    ) -> pb.UpdateOrgResponse:
        mask = parse_mask(request.update_mask, ["display_name", "requires_own_provider"])
        sent = request.org
        org = await self._orgs.update(
            caller,
            display_name=sent.display_name if "display_name" in mask else None,
            requires_own_provider=(
                sent.requires_own_provider if "requires_own_provider" in mask else None
            ),
            version=parse_version(sent.version),
        )
        return pb.UpdateOrgResponse(org=_render(org))

    async def delete_org(
        self, caller: Caller, request: pb.DeleteOrgRequest
    ) -> pb.DeleteOrgResponse:
        org = await self._deletion.delete(caller, request.name, parse_version(request.version))
        return pb.DeleteOrgResponse(org=_render(org))

    async def list_orgs(self, caller: Caller, request: pb.ListOrgsRequest) -> pb.ListOrgsResponse:
        call = ListCall(caller, request)
        found, after = await self._orgs.list_mine(
            caller, limit=call.listing.limit, after=call.listing.token
        )
        return pb.ListOrgsResponse(
            orgs=map(_render_membership, found), next_page_token=call.next_token(after)
        )

    async def list_joinable_orgs(
        self, caller: Caller, request: pb.ListJoinableOrgsRequest
    ) -> pb.ListJoinableOrgsResponse:
        call = ListCall(caller, request)
        user = await find_person(self._users, caller, "join an org")
        found = await self._invitations.list_joinable(user)
        page, token = call.slice(found, lambda each: each.org)
        return pb.ListJoinableOrgsResponse(
            orgs=map(_render_membership, page), next_page_token=token
        )

    async def join_org(self, caller: Caller, request: pb.JoinOrgRequest) -> pb.JoinOrgResponse:
        user = await find_person(self._users, caller, "join an org")
        org = parse_org(request.name)
        await self._invitations.join_by_email(user, org, peer=caller.peer, by_call=True)
        return pb.JoinOrgResponse(org=org)


def _render_membership(membership: Membership) -> pb.Membership:
    return pb.Membership(
        name=membership.org, display_name=membership.display_name, role=membership.role
    )


def _render(org: Org) -> pb.Org:
    deletion = org.deletion
    return pb.Org(
        name=org.name,
        display_name=org.display_name,
        created_by=org.created_by,
        created_at=render_time(org.created_at),
        version=org.version,
        requires_own_provider=org.requires_own_provider,
        deleted_at=None if deletion is None else render_time(deletion.deleted_at),
        erase_at=None if deletion is None else render_time(deletion.erase_at),
        erased_at=None if deletion is None else render_time(deletion.erased_at),
    )
