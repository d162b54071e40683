"""Sessions are listed and ended by their person or an administrator; the audit log is read."""

from uuid import uuid4

import pytest

from controlplane.core.oauth import Login
from controlplane.core.roles import ADMIN, VIEWER
from controlplane.store.identity import audit
from controlplane.usecases.identity.browser_sessions import BrowserSessions
from controlplane.usecases.token_families import TokenFamilies
from shared.kit.clock import SystemClock
from shared.model.ids import OrgName
from tests.integration.platform.world import THEIRS, Person, RefusedError, World, log_in


async def start(world: World, person: Person) -> str:
    families = TokenFamilies(world.database, SystemClock())
    started = await families.start(uuid4(), Login(person.org, person.subject), "flyte")
    return str(started.family.id)


async def sessions(person: Person, **request: object) -> list[str]:
    answer = await person.call("SessionService/ListSessions", **request)
    return [each["id"] for each in answer.get("sessions", [])]


async def test_person_lists_their_sessions_in_pages_and_ends_one(world: World) -> None:
    bob = await world.join("bob", VIEWER)
    mine = [await start(world, world.ada) for _ in range(3)]
    await start(world, bob)
    first = await world.ada.call("SessionService/ListSessions", pageSize=2)
    rest = await world.ada.call(
        "SessionService/ListSessions", pageSize=2, pageToken=first["nextPageToken"]
    )
    listed = [each["id"] for each in [*first["sessions"], *rest["sessions"]]]
    assert listed == list(reversed(mine))
    await world.ada.call("SessionService/RevokeSession", id=mine[1])
    assert await sessions(world.ada) == [mine[2], mine[0]]


async def test_administrator_ends_a_member_s_session_and_is_named_in_the_audit_log(
    world: World,
) -> None:
    admin, bob = await world.join("admin", ADMIN), await world.join("bob", VIEWER)
    session = await start(world, bob)
    assert await sessions(admin, userId=bob.id) == [session]
    await admin.call("SessionService/RevokeSession", id=session, userId=bob.id)
    records = await world.ada.call("AuditService/ListAuditRecords", action="login.revoke")
    assert await sessions(bob) == []
    assert [(each["actor"], each["target"]) for each in records["records"]] == [
        (admin.subject, f"login:{session}")
    ]


async def test_nothing_is_seen_or_ended_of_those_who_outrank_the_caller(world: World) -> None:
    admin, bob = await world.join("admin", ADMIN), await world.join("bob", VIEWER)
    session = await start(world, world.ada)
    for person, message in ((admin, "lacks identity_provider:write"), (bob, "lacks the perm")):
        with pytest.raises(RefusedError, match=message):
            await person.call("SessionService/RevokeSession", id=session, userId=world.ada.id)
    with pytest.raises(RefusedError, match="lacks the permission member:write"):
        await sessions(bob, userId=world.ada.id)
    for request in ({"id": session}, {"id": session, "userId": world.eve.id}):
        with pytest.raises(RefusedError, match="not found"):
            await world.eve.call("SessionService/RevokeSession", **request)
    assert await sessions(world.ada) == [session]


async def test_browsers_are_listed_and_ended_in_the_org_that_they_have_chosen(
    world: World,
) -> None:
    admin, bob = await world.join("admin", ADMIN), await world.join("bob", VIEWER)
    browsers = BrowserSessions(world.database, SystemClock())

    async def open_browser(org: OrgName) -> None:
        await browsers.start(
            await log_in(world.database, "bob"),
            org=org,
            provider=None,
            peer="192.0.2.7",
            browser="Firefox",
            replaces=None,
        )

    await open_browser(bob.org)
    await open_browser(THEIRS)
    program = await start(world, bob)
    listed = (await bob.call("SessionService/ListSessions"))["sessions"]
    assert [(each["id"] == program, each.get("browser")) for each in listed] == [
        (True, None),
        (False, "Firefox"),
    ]
    browser = listed[1]["id"]
    with pytest.raises(RefusedError, match="not found"):
        await admin.call("SessionService/RevokeSession", id=browser)
    await admin.call("SessionService/RevokeSession", id=browser, userId=bob.id)
    records = await world.ada.call("AuditService/ListAuditRecords", action="session.end")
    assert await sessions(bob) == [program]
    assert [(each["actor"], each["target"]) for each in records["records"]] == [
        (admin.subject, f"session:{browser}")
    ]


async def test_audit_records_are_filtered_and_chained(world: World) -> None:
    for name in ("a", "b"):
        await world.ada.call("RoleService/CreateRole", name=name, permissions=["run:read"])
    found = await world.ada.call(
        "AuditService/ListAuditRecords",
        actor=world.ada.subject,
        target="role:a",
        outcome="done",
        since="2020-01-01T00:00:00Z",
    )
    [record] = found["records"]
    assert (record["action"], record["detail"]) == ("role.create", {"permissions": "run:read"})
    assert record["peer"].startswith("127.0.0.1:")
    assert await world.ada.call("AuditService/ListAuditRecords", until="2020-01-01T00:00:00Z") == {}
    checked = await world.ada.call("AuditService/VerifyAuditLog")
    assert checked == {"checkedTo": checked["checkedTo"], "complete": True}


async def test_rare_audit_records_are_found_by_pages_of_bounded_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.ada.call("RoleService/CreateRole", name="rare", permissions=["run:read"])
    for number in range(9):
        await world.ada.call(
            "OrgService/UpdateOrg", org={"displayName": str(number)}, updateMask="displayName"
        )
    monkeypatch.setattr(audit, "MOST_EXAMINED", 3)
    found, pages, token = [], 0, ""
    while True:
        page = await world.ada.call(
            "AuditService/ListAuditRecords", target="role:rare", pageToken=token
        )
        found += page.get("records", [])
        pages, token = pages + 1, page.get("nextPageToken", "")
        if not token:
            break
    assert [each["target"] for each in found] == ["role:rare"]
    assert pages >= 4


async def test_log_that_is_longer_than_a_call_checks_is_verified_by_parts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await world.ada.call(
            "OrgService/UpdateOrg", org={"displayName": str(number)}, updateMask="displayName"
        )
    monkeypatch.setattr("controlplane.usecases.identity.audit._PAGE", 1)
    monkeypatch.setattr("controlplane.usecases.identity.audit._PAGES_OF_PART", 2)
    first = await world.ada.call("AuditService/VerifyAuditLog")
    checked, calls = first, 1
    while not checked.get("complete"):
        checked = await world.ada.call("AuditService/VerifyAuditLog", after=checked["checkedTo"])
        calls += 1
    assert first == {"checkedTo": "2"}
    assert calls >= 3
    beyond = await world.ada.call("AuditService/VerifyAuditLog", after="999")
    assert beyond["broken"] == {"number": "999", "reason": "the record is missing"}


async def test_audit_log_is_exported_oldest_first_in_pages_with_its_chain_of_hashes(
    world: World,
) -> None:
    for number in range(4):
        await world.ada.call(
            "OrgService/UpdateOrg", org={"displayName": str(number)}, updateMask="displayName"
        )
    found, after, complete = [], "0", False
    while not complete:
        page = await world.ada.call("AuditService/ExportAuditLog", after=after, pageSize=2)
        assert page["org"] == world.ada.org
        assert len(page["records"]) <= 2
        found += page["records"]
        after, complete = found[-1]["number"], page.get("complete", False)
    assert [int(each["number"]) for each in found] == list(range(1, len(found) + 1))
    assert [each["previousHash"] for each in found[1:]] == [each["hash"] for each in found[:-1]]
    beyond = await world.ada.call("AuditService/ExportAuditLog", after="999")
    assert beyond == {"org": world.ada.org, "complete": True}
    for field in ("after", "pageSize"):
        with pytest.raises(RefusedError, match="must not be negative"):
            await world.ada.call("AuditService/ExportAuditLog", **{field: -1})
