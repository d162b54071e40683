"""MemberService: reads members, changes their role in the whole org, removes them."""

from controlplane.api.platform.conventions import (
    ListCall,
    equals,
    parse_id,
    parse_mask,
    parse_version,
    render_time,
)
from controlplane.core.callers import Caller
from controlplane.core.identity import Member, UserId
from controlplane.usecases.identity.members import Members
from shared.idl.platform.v1 import member_pb2 as pb


class MemberService:
    def __init__(self, members: Members) -> None:
        self._members = members

    async def get_member(
        self, caller: Caller, request: pb.GetMemberRequest
    ) -> pb.GetMemberResponse:
        member = await self._members.get(caller, _parse_user(request.user_id))
        return pb.GetMemberResponse(member=_render(member))

    async def list_members(
        self, caller: Caller, request: pb.ListMembersRequest
    ) -> pb.ListMembersResponse:
        filters = [equals("email", request.email), equals("role", request.role)]
        call = ListCall(caller, request, filters)
        found, token = await self._members.list(caller, call.listing)
        return pb.ListMembersResponse(
            members=map(_render, found), next_page_token=call.next_token(token)
        )

    async def update_member(
        self, caller: Caller, request: pb.UpdateMemberRequest
    ) -> pb.UpdateMemberResponse:
        parse_mask(request.update_mask, ["role"])
        member = await self._members.set_role(
            caller,
            _parse_user(request.member.user_id, "member.user_id"),
            request.member.role,
            parse_version(request.member.version),
        )
        return pb.UpdateMemberResponse(member=_render(member))

    async def remove_member(
        self, caller: Caller, request: pb.RemoveMemberRequest
    ) -> pb.RemoveMemberResponse:
        await self._members.remove(caller, _parse_user(request.user_id))
        return pb.RemoveMemberResponse()


def _parse_user(text: str, field: str = "user_id") -> UserId:
    return UserId(parse_id(text, field))


def _render(member: Member) -> pb.Member:
    return pb.Member(
        user_id=str(member.user),
        role=member.role,
        email=member.email,
        name=member.name,
        source=member.source,
        groups=member.groups,
        created_at=render_time(member.created_at),
        seen_at=render_time(member.seen_at),
        version=member.version,
    )
