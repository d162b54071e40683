"""
An org's ids are of no use in another org, in whatever field of whatever RPC they are sent.

Generated over all RPCs of the platform API: each string field in turn holds the other org's ids or
names of each kind.
"""

from collections.abc import Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

from google.protobuf.json_format import MessageToDict

from controlplane.core.callers import EVERYTHING, Caller, org_wide
from controlplane.core.projects import Project
from controlplane.core.queues import QueueChange
from controlplane.store.resources.projects import create_project
from controlplane.usecases.queues import Queues
from shared.kit.clock import SystemClock
from shared.model.ids import ProjectName
from tests.integration.api import platform_requests
from tests.integration.platform.openapi import find_problems
from tests.integration.platform.org_rows import digest_rows
from tests.integration.platform.samples import RPCS, Path, string_fields
from tests.integration.platform.test_sessions_and_audit import start
from tests.integration.platform.world import THEIRS, Person, World

CANARY = "canary"
NAMES = ("org", "project", "queue", "role", "user")
MADE_IDS = ("provider", "user", "account", "key", "binding", "invitation", "session")
REFUSED = {400, 403, 404, 409}
OWN = {
    "InvitationService/AcceptInvitation": {"token": "x"},
    "MemberService/RemoveMember": {"userId": platform_requests.UNKNOWN},
    "OrgService/CreateOrg": {"name": "made"},
    "OrgService/JoinOrg": {"name": "made"},
    "SessionService/RevokeSession": {"id": platform_requests.UNKNOWN},
}
"""Requests of RPCs that need no permission; all others are empty, or in ``platform_requests``."""


async def fill(world: World, person: Person) -> Mapping[str, str]:
    """Make a thing of each kind in a person's org, named by the canary; return their ids."""
    clock = SystemClock()
    caller = Caller(subject=person.subject, org=person.org, name="", grants=org_wide(EVERYTHING))
    async with world.database.for_org(person.org) as tx:
        project = Project(id=ProjectName(f"{CANARY}-project"), name=CANARY)
        await create_project(tx, project, now=clock.now())
    await Queues(world.database, clock).set(caller, f"{CANARY}-queue", QueueChange(depth=3))
    account = await person.call("ServiceAccountService/CreateServiceAccount", name=CANARY)
    account_id = account["serviceAccount"]["id"]
    key = await person.call("ApiKeyService/CreateApiKey", serviceAccountId=account_id, name=CANARY)
    await person.call(
        "RoleService/CreateRole",
        name=f"{CANARY}-role",
        permissions=["run:read"],
        description=CANARY,
    )
    binding = await person.call(
        "RoleBindingService/CreateRoleBinding", principal={"group": CANARY}, role=f"{CANARY}-role"
    )
    invitation = await person.call(
        "InvitationService/CreateInvitation", role="viewer", email=f"{CANARY}@canary.example"
    )
    provider = await person.call(
        "IdentityProviderService/CreateIdentityProvider",
        name=CANARY,
        issuer="https://canary.example",
        clientId=CANARY,
    )
    return {
        "provider": provider["identityProvider"]["id"],
        "org": person.org,
        "project": f"{CANARY}-project",
        "queue": f"{CANARY}-queue",
        "role": f"{CANARY}-role",
        "user": person.id,
        "account": account_id,
        "key": key["apiKey"]["id"],
        "binding": binding["roleBinding"]["id"],
        "invitation": invitation["invitation"]["id"],
        "session": await start(world, person),
    }


def own_request(rpc: str) -> dict[str, Any]:
    """Return a request that is well-formed, in the JSON of protobuf."""
    make = platform_requests.REQUESTS.get(rpc)
    if make is None:
        return deepcopy(OWN.get(rpc, {}))
    made: Any = SimpleNamespace(
        made={"invitation": platform_requests.UNKNOWN, "role binding": platform_requests.UNKNOWN},
        blobs=SimpleNamespace(base="file:///blobs"),
    )
    return dict(MessageToDict(make(made)))


def with_field(request: dict[str, Any], path: Path, value: str) -> dict[str, Any]:
    """Return the request with a string set at a path; in a list, as its only item."""
    changed = deepcopy(request)
    at = changed
    for step in path[:-1]:
        at = at.setdefault(step, {})
        if step == "principal":  # a oneof: the field is the one that is set
            at.clear()
    at[path[-1]] = [value] if isinstance(at.get(path[-1]), list) else value
    return changed


def is_id(path: Path) -> bool:
    """Return whether a field names something by an id; deeper ones are parts of answers only."""
    is_named = path[-1] == "id" or path[-1].endswith("Id")
    return is_named and len(path) <= 2 and path[-1] not in {"requestId", "clientId"}


async def test_foreign_ids_in_any_field_show_nothing_and_change_nothing(
    world: World, owner_database_url: str
) -> None:
    foreign = await fill(world, world.eve)
    before = await digest_rows(owner_database_url, THEIRS)
    calls = 0
    for rpc, method in RPCS.items():
        for path in string_fields(method.input_type):
            for kind in MADE_IDS if is_id(path) else NAMES:
                value = foreign[kind]
                request = with_field(own_request(rpc), path, value)
                answer = await world.ada.post(rpc, request)
                calls += 1
                what = (rpc, path, kind, answer.text)
                assert answer.is_success or answer.status_code in REFUSED, what
                assert find_problems(rpc, request, answer) == [], what
                # The sent value may come back; nothing else of the other org does.
                assert CANARY not in answer.text.replace(value, ""), what
                if is_id(path) and not rpc.partition("/")[2].startswith("List"):
                    assert not answer.is_success, what
    assert calls > 300
    after = await digest_rows(owner_database_url, THEIRS)
    assert {name for name in after if after[name] != before[name]} == set()
    await world.eve.call("OrgService/UpdateOrg", org={}, updateMask="displayName")
    assert (await digest_rows(owner_database_url, THEIRS))["orgs"] != before["orgs"]
