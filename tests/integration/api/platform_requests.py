"""One request for each RPC of the platform API that needs a permission."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from shared.idl.platform.v1 import member_pb2, org_pb2

UNKNOWN_USER = "00000000-0000-7000-8000-000000000001"

REQUESTS: Mapping[str, Callable[[Any], Message]] = {
    "MemberService/GetMember": lambda _: member_pb2.GetMemberRequest(user_id=UNKNOWN_USER),
    "MemberService/ListMembers": lambda _: member_pb2.ListMembersRequest(),
    "MemberService/UpdateMember": lambda _: member_pb2.UpdateMemberRequest(
        member={"user_id": UNKNOWN_USER, "role": "viewer"}, update_mask={"paths": ["role"]}
    ),
    "OrgService/GetOrg": lambda _: org_pb2.GetOrgRequest(),
    "OrgService/UpdateOrg": lambda _: org_pb2.UpdateOrgRequest(
        org={"display_name": "Renamed"}, update_mask={"paths": ["display_name"]}
    ),
}

IN_SCOPES: frozenset[str] = frozenset()
"""Those that a grant in a project suffices for."""
OF_THE_ORG = frozenset(REQUESTS) - IN_SCOPES
