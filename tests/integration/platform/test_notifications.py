"""Deliveries of notifications: listed by state, and sent again."""

import pytest

from controlplane.core.notifications import DeliveryState
from tests.integration.api.client import PROJECT
from tests.integration.delivery_rows import add_delivery
from tests.integration.platform.world import Person, RefusedError, World

LIST = "NotificationService/ListDeliveries"
RESEND = "NotificationService/ResendDeliveries"


async def test_deliveries_are_listed_by_state_newest_first_page_by_page(world: World) -> None:
    states = [DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.PENDING]
    made = [
        str(await add_delivery(world.database, world.ada.org, state))
        for state in (*states, *states)
    ]
    await add_delivery(world.database, world.eve.org)

    first = await world.ada.call(LIST, pageSize=4)
    second = await world.ada.call(LIST, pageSize=4, pageToken=first["nextPageToken"])
    failed = await world.ada.call(LIST, state="failed")

    listed = [each["id"] for each in [*first["deliveries"], *second["deliveries"]]]
    assert listed == sorted(made, reverse=True)
    assert "nextPageToken" not in second
    assert [each["id"] for each in failed["deliveries"]] == sorted(made[::3], reverse=True)
    (one, _) = failed["deliveries"]
    assert (one["state"], one["phase"], one["status"]) == ("failed", "FAILED", 404)
    assert one["receiver"] == "https://hooks.example"
    assert one["error"] == "the receiver answered 404"
    with pytest.raises(RefusedError, match="'lost' is not one of delivered, failed, pending"):
        await world.ada.call(LIST, state="lost")


async def test_ended_deliveries_are_sent_again_once_and_recorded(world: World) -> None:
    failed, delivered, pending = [
        str(await add_delivery(world.database, world.ada.org, state))
        for state in (DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.PENDING)
    ]

    resent = await world.ada.call(RESEND, ids=[failed, delivered, pending])
    again = await world.ada.call(RESEND, ids=[failed])

    assert resent["resent"] == sorted([failed, delivered])
    assert again == {}
    listed = await world.ada.call(LIST, state="pending")
    assert len(listed["deliveries"]) == 3
    assert {each.get("tries", 0) for each in listed["deliveries"] if each["id"] != pending} == {0}
    (record,) = (await world.ada.call("AuditService/ListAuditRecords"))["records"]
    assert (record["action"], record["detail"]) == ("notification.resend", {"count": "2"})


async def test_unknown_delivery_or_one_of_another_org_is_refused_and_none_is_sent(
    world: World,
) -> None:
    ours = str(await add_delivery(world.database, world.ada.org))
    theirs = str(await add_delivery(world.database, world.eve.org))

    with pytest.raises(RefusedError, match=f"delivery {theirs} not found"):
        await world.ada.call(RESEND, ids=[ours, theirs])
    with pytest.raises(RefusedError, match="names no delivery"):
        await world.ada.call(RESEND)

    assert len((await world.ada.call(LIST, state="failed"))["deliveries"]) == 1
    assert len((await world.eve.call(LIST, state="failed"))["deliveries"]) == 1


async def test_viewer_lists_deliveries_and_sends_none(world: World) -> None:
    viewer = await world.join("vic", "viewer")
    made = str(await add_delivery(world.database, world.ada.org))

    assert len((await viewer.call(LIST))["deliveries"]) == 1
    with pytest.raises(RefusedError, match="notification:write"):
        await viewer.call(RESEND, ids=[made])


async def test_member_of_a_project_lists_its_deliveries_and_sends_only_those_again(
    world: World,
) -> None:
    made = {
        scope: str(
            await add_delivery(world.database, world.ada.org, project=scope[0], domain=scope[1])
        )
        for scope in [
            (PROJECT, "development"),
            (PROJECT, "production"),
            ("others", "development"),
            ("", ""),
        ]
    }
    bob, vic = await world.join("bob", ""), await world.join("vic", "")
    manages = ["notification:read", "notification:write"]
    await world.ada.call("RoleService/CreateRole", name="reporter", permissions=manages)
    await bind(world, bob, "reporter", "development")
    await bind(world, vic, "viewer", "")

    async def listed(person: Person) -> set[str]:
        return {each["id"] for each in (await person.call(LIST)).get("deliveries", ())}

    ours, production = made[PROJECT, "development"], made[PROJECT, "production"]
    assert await listed(bob) == {ours}
    assert await listed(vic) == {ours, production}
    assert await listed(world.ada) == {*made.values()}
    for unseen in {*made.values()} - {ours}:
        with pytest.raises(RefusedError, match=f"delivery {unseen} not found"):
            await bob.call(RESEND, ids=[ours, unseen])
    with pytest.raises(RefusedError, match="notification:write"):
        await vic.call(RESEND, ids=[ours])
    assert (await bob.call(RESEND, ids=[ours]))["resent"] == [ours]


async def bind(world: World, person: Person, role: str, domain: str) -> None:
    await world.ada.call(
        "RoleBindingService/CreateRoleBinding",
        principal={"userId": person.id},
        role=role,
        project=PROJECT,
        domain=domain,
    )
