"""
Hostile text in every string field of every RPC: it is refused, or stored and read back as it is.

No server error, no answer that repeats a megabyte, and the audit log and all lists stay readable.
"""

import logging

import pytest

from tests.integration.platform.openapi import find_problems
from tests.integration.platform.samples import RPCS, string_fields
from tests.integration.platform.test_foreign_ids import own_request, with_field
from tests.integration.platform.world import World

HOSTILE = {
    "a megabyte": "x" * 1_000_000,
    "a NUL": "a\0b",
    "lines": "a\r\nlevel=ERROR msg=forged",
    "right to left": "\u202egnp.exe",
    "a path": "../../../etc/passwd",
    "SQL": "'; DROP TABLE members; --",
    "a pattern": "%_\\",
    "beyond the basic plane": "\U0001f600\ufffe\u2028",
}
LISTS = ("OrgService/ListOrgs", "MemberService/ListMembers", "RoleService/ListRoles",
         "RoleBindingService/ListRoleBindings", "InvitationService/ListInvitations",
         "ServiceAccountService/ListServiceAccounts", "ApiKeyService/ListApiKeys",
         "IdentityProviderService/ListIdentityProviders", "QueueService/ListQueues",
         "ClusterService/ListClusters", "AuditService/ListAuditRecords")  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_text_in_any_field_causes_no_server_error(
    world: World, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = HOSTILE[kind]
    with caplog.at_level(logging.INFO, "controlplane"):
        for rpc, method in RPCS.items():
            for path in string_fields(method.input_type):
                request = with_field(own_request(rpc), path, text)
                answer = await world.ada.post(rpc, request)
                what = (rpc, path, answer.text[:500])
                assert answer.status_code < 500, what
                assert find_problems(rpc, request, answer) == [], what
                assert answer.is_success or len(answer.text) < 2_000, what
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    for rpc in LISTS:
        await world.ada.call(rpc)
    assert (await world.ada.call("AuditService/VerifyAuditLog"))["complete"]
