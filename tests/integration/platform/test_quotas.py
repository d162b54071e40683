"""Quotas by plain JSON over HTTP: who may set which, bad limits, and two changes at once."""

import asyncio
from typing import Any

import pytest

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.quotas import Limit
from controlplane.core.roles import VIEWER
from controlplane.usecases.quotas import Quotas
from shared.kit.clock import SystemClock
from tests.integration.api.client import ORG, PROJECT
from tests.integration.platform.world import RefusedError, World

OPERATOR = Caller(subject=Subject("operator:me"), org=ORG, name="", grants=org_wide(EVERYTHING))
SERVICE = "QuotaService"


async def update(world: World, quota: dict[str, Any], mask: str, **more: Any) -> Any:
    answer = await world.ada.call(
        f"{SERVICE}/UpdateQuota", quota={"project": PROJECT, **quota, **more}, updateMask=mask
    )
    return answer["quota"]


async def set_of_org(world: World, **limits: int) -> None:
    quotas = Quotas(world.database, SystemClock())
    changes = {Limit(name): value for name, value in limits.items()}
    await quotas.update(OPERATOR, "", changes)


async def test_quota_of_a_project_is_set_by_its_admin_within_the_orgs(world: World) -> None:
    await set_of_org(world, actions_per_day=1000)
    made = await update(world, {"actionsPerDay": "500", "triggers": 5}, "actionsPerDay,triggers")
    assert (made["actionsPerDay"], made["triggers"], made["version"]) == ("500", 5, "1")
    with pytest.raises(RefusedError, match="1001 is over the org's limit, 1000") as refused:
        await update(world, {"actionsPerDay": "1001"}, "actionsPerDay")
    assert refused.value.code == "invalid_argument"
    listed = await world.ada.call(f"{SERVICE}/ListQuotas")
    assert [each.get("project", "") for each in listed["quotas"]] == ["", PROJECT]
    pages = await world.ada.call(f"{SERVICE}/ListQuotas", pageSize=1)
    rest = await world.ada.call(
        f"{SERVICE}/ListQuotas", pageSize=1, pageToken=pages["nextPageToken"]
    )
    assert [each["project"] for each in rest["quotas"]] == [PROJECT]


async def test_quota_of_the_org_is_set_by_the_operator_only(world: World) -> None:
    with pytest.raises(RefusedError, match="set by the operator") as refused:
        await world.ada.call(f"{SERVICE}/UpdateQuota", quota={"triggers": 5}, updateMask="triggers")
    assert refused.value.code == "permission_denied"
    bob = await world.join("bob", VIEWER)
    assert (await bob.call(f"{SERVICE}/GetQuota"))["quota"]["use"] == {}
    with pytest.raises(RefusedError, match="quota:write"):
        await bob.call(
            f"{SERVICE}/UpdateQuota",
            quota={"project": PROJECT, "triggers": 5},
            updateMask="triggers",
        )


@pytest.mark.parametrize(
    ("quota", "mask", "because"),
    [
        ({"triggers": -1}, "triggers", "triggers: must be from 0"),
        ({"actionsPerDay": str(2**62)}, "actionsPerDay", "actions_per_day: must be from 0"),
        ({"requestsPerSecond": 5}, "requestsPerSecond", "of the org only"),
        ({"triggers": 5}, "", "names no field"),
        ({"triggers": 5}, "use", "cannot be changed"),
        ({"triggers": 5, "project": "nowhere"}, "triggers", "project nowhere not found"),
        ({"triggers": 5, "project": "no/name"}, "triggers", "project"),
    ],
)
async def test_quota_that_cannot_be_is_refused(
    world: World, quota: dict[str, Any], mask: str, because: str
) -> None:
    with pytest.raises(RefusedError, match=because):
        await update(world, quota, mask)


async def test_one_of_two_changes_at_once_is_refused(world: World) -> None:
    await update(world, {"triggers": 5}, "triggers")
    changes = (update(world, {"triggers": number}, "triggers", version="1") for number in (6, 7))
    done = await asyncio.gather(*changes, return_exceptions=True)
    [refused] = [each for each in done if isinstance(each, BaseException)]
    assert isinstance(refused, RefusedError)
    assert refused.code == "aborted"
    assert (await update(world, {"triggers": 6}, "triggers"))["version"] in ("2", "3")
