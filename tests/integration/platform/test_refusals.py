"""Refused administrative calls are in the audit log, once an hour for each caller and RPC."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from controlplane.core.callers import Caller
from controlplane.core.roles import VIEWER
from controlplane.store.database import open_database
from controlplane.usecases.identity import refusals
from controlplane.usecases.identity.refusals import Refusals
from tests.factories import NOW
from tests.fakes.clock import FakeClock
from tests.integration.api.client import ORG
from tests.integration.platform.world import Person, RefusedError, World


async def refused(world: World) -> list[Any]:
    answer = await world.ada.call("AuditService/ListAuditRecords", outcome="refused")
    return [
        (each["actor"], each["action"], each["target"], each["detail"]["answer"])
        for each in answer.get("records", [])
    ]


async def attempt(person: Person, rpc: str, **request: Any) -> None:
    with pytest.raises(RefusedError) as error:
        await person.call(rpc, **request)
    assert error.value.code == "permission_denied"


async def test_refused_call_is_recorded_once_for_each_caller_and_rpc(world: World) -> None:
    bob, cyd = await world.join("bob", VIEWER), await world.join("cyd", VIEWER)
    for person in (bob, bob, cyd):
        await attempt(person, "RoleService/DeleteRole", name="x")
    await attempt(bob, "SessionService/RevokeSession", id=bob.id, userId=world.ada.id)
    message = "lacks the permission"
    assert [
        (actor, action, target)
        for actor, action, target, answer in reversed(await refused(world))
        if message in answer
    ] == [
        (bob.subject, "rpc.call", "rpc:volary.platform.v1.RoleService/DeleteRole"),
        (cyd.subject, "rpc.call", "rpc:volary.platform.v1.RoleService/DeleteRole"),
        (bob.subject, "rpc.call", "rpc:volary.platform.v1.SessionService/RevokeSession"),
    ]
    assert (await world.ada.call("AuditService/VerifyAuditLog"))["complete"]


async def test_refused_reads_and_invalid_requests_are_not_recorded(world: World) -> None:
    bob = await world.join("bob", "")
    await attempt(bob, "MemberService/ListMembers")
    with pytest.raises(RefusedError, match="not found"):
        await world.ada.call("RoleService/DeleteRole", name="x")
    assert await refused(world) == []


async def test_log_line_of_a_refused_call_names_its_caller(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bob = await world.join("bob", VIEWER)
    with caplog.at_level(logging.INFO, "controlplane.api.interceptors"):
        await attempt(bob, "RoleService/DeleteRole", name="x")
    [line] = [each for each in caplog.records if each.message == "call ended"]
    assert (line.__dict__["subject"], line.__dict__["org"]) == (bob.subject, ORG)


async def test_refusals_are_recorded_again_after_an_hour_and_bounded(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST_REMEMBERED", 3)
    database, clock = open_database(database_url), FakeClock(NOW)
    recording = Refusals(database, clock)
    caller = Caller(subject=world.ada.subject, org=ORG, name="Ada")
    for number in range(5):
        await recording.record(caller, f"rpc-{number}", "no")
    assert len(await refused(world)) == 3
    clock.advance(timedelta(hours=1))
    await recording.record(caller, "rpc-0", "no")
    assert [target for _, _, target, _ in await refused(world)][:2] == ["rpc:rpc-0", "rpc:rpc-2"]
    await database.close()


async def test_answer_does_not_depend_on_the_record(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Refusals(None, FakeClock(NOW))  # type: ignore[arg-type]
    await broken.record(Caller(subject=world.ada.subject, org=ORG, name=""), "rpc", "no")
    assert "refused call not recorded" in caplog.text
