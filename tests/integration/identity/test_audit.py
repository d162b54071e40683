"""The audit log: every act of identity is in it, and what is removed or changed shows."""

import asyncio
import json
from dataclasses import replace

import asyncpg
import pytest

from controlplane.core import lists
from controlplane.core.audit import BrokenChain, render_json_line
from controlplane.core.callers import Permission
from controlplane.core.errors import ConflictError, InvalidError, NotAllowedError
from controlplane.core.identity import NewInvitation
from controlplane.core.lists import Filter, Listing
from controlplane.core.roles import VIEWER
from controlplane.store.identity import audit as store
from controlplane.usecases.identity.audit import record
from tests.factories import ORG
from tests.integration.identity.conftest import World, caller_with, user_of
from tests.servers.postgres import DatabaseForTest


async def act(world: World, times: int) -> None:
    for number in range(times):
        await world.orgs.update(world.owner, display_name=f"Acme {number}")


async def test_record_says_who_did_what_to_what_from_where(world: World) -> None:
    caller = replace(world.owner, peer="192.0.2.7:999", request_id="request-7")
    await world.orgs.update(caller, display_name="Acme Inc.")
    [last] = (await world.audit.list(world.owner, Listing(limit=1))).rows
    event = last.event
    assert (event.actor, event.action, event.target) == (
        world.owner.subject,
        "org.rename",
        "org:acme",
    )
    assert (event.peer, event.request_id, event.outcome) == ("192.0.2.7:999", "request-7", "done")
    assert event.detail == {"name": "Acme Inc."}
    assert (last.number, last.at) == (2, world.clock.now())


async def test_refused_act_leaves_no_record(world: World) -> None:
    with pytest.raises(ConflictError):
        await world.members.remove(world.owner, user_of(world.owner))
    assert await world.audited() == ["org.create"]


async def test_concurrent_acts_are_numbered_without_gaps(world: World) -> None:
    new = NewInvitation(role=VIEWER)
    await asyncio.gather(*(world.invitations.create(world.owner, new) for _ in range(8)))
    page = await world.audit.list(world.owner, Listing(limit=200))
    assert [each.number for each in page.rows] == list(range(9, 0, -1))
    assert await world.audit.verify(world.owner) is None


async def test_records_are_found_by_filters_and_page_tokens(world: World) -> None:
    await act(world, 3)
    await world.invitations.create(world.owner, NewInvitation(role=VIEWER))
    renames = Listing(filters=[Filter("action", lists.Test.EQUAL, ["org.rename"])], limit=2)
    first = await world.audit.list(world.owner, renames)
    rest = await world.audit.list(world.owner, replace(renames, token=first.token))
    assert [each.number for each in [*first.rows, *rest.rows]] == [4, 3, 2]
    assert rest.token == ""
    hostile = Filter("target", lists.Test.CONTAINS, ["%' OR 1=1 --"])
    assert (await world.audit.list(world.owner, Listing(filters=[hostile]))).rows == []
    with pytest.raises(InvalidError, match="unknown field"):
        await world.audit.list(
            world.owner, Listing(filters=[Filter("hash", lists.Test.EQUAL, ["x"])])
        )


async def test_audit_log_is_for_callers_with_its_permission(world: World) -> None:
    stranger = caller_with(*(set(Permission) - {Permission.AUDIT_READ}))
    for attempt in (
        world.audit.list(stranger, Listing()),
        world.audit.verify(stranger),
        world.audit.export_page(stranger),
    ):
        with pytest.raises(NotAllowedError, match="audit:read"):
            await attempt


async def test_export_is_one_line_of_json_for_each_record(world: World) -> None:
    async with world.database.for_org(ORG) as tx:
        detail = {"name": 'line\n"quoted" \u2028 é'}
        await record(tx, world.clock, world.owner, "test.act", "target\r\nforged", detail=detail)
    lines = [
        render_json_line(each) for each in (await world.audit.export_page(world.owner)).records
    ]
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert all(len(line.splitlines()) == 1 or "\u2028" in line for line in lines)
    assert "\n" not in "".join(lines)
    assert json.loads(lines[1])["detail"] == detail
    page = await world.audit.export_page(world.owner, after=1)
    assert ([each.number for each in page.records], page.complete) == ([2], True)


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("DELETE FROM audit_log WHERE number = 3", BrokenChain(3, "the record is missing")),
        ("DELETE FROM audit_log WHERE number = 1", BrokenChain(1, "the record is missing")),
        ("DELETE FROM audit_log WHERE number >= 5", BrokenChain(5, "the record is missing")),
        ("DELETE FROM audit_log", BrokenChain(1, "the record is missing")),
        ("UPDATE audit_log SET actor = 'eve' WHERE number = 2", BrokenChain(2, "it was changed")),
        ("UPDATE audit_log SET at = at + interval '1 s' WHERE number = 4",
         BrokenChain(4, "it was changed")),
        ("UPDATE audit_log SET detail = '{}' WHERE number = 3", BrokenChain(3, "it was changed")),
        ("UPDATE audit_log SET previous_hash = hash WHERE number = 2",
         BrokenChain(2, "it does not follow the record before")),
        ("UPDATE audit_heads SET hash = '\\x00'",
         BrokenChain(5, "the head of the log has another hash")),
    ],
)  # fmt: skip
async def test_verification_names_the_first_broken_record(
    world: World, test_database: DatabaseForTest, tampering: str, broken: BrokenChain
) -> None:
    await act(world, 4)
    assert await world.audit.verify(world.owner) is None
    owner = await asyncpg.connect(test_database.owner_url)
    await owner.execute(f"ALTER TABLE audit_log DISABLE TRIGGER ALL; {tampering}")
    await owner.close()
    assert await world.audit.verify(world.owner) == broken


async def test_verification_goes_through_every_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.usecases.identity.audit._PAGE", 2)
    await act(world, 4)
    assert await world.audit.verify(world.owner) is None
    async with world.database.for_org(ORG) as tx:
        number, digest = await store.find_head(tx)
    assert (number, len(digest)) == (5, 32)
