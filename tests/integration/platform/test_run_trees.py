"""The tree of a run by plain JSON over HTTP: its windows, a watch, and what is refused."""

import json
from typing import Any

import pytest

from controlplane.core.roles import VIEWER
from tests.integration.api.client import DOMAIN, PROJECT
from tests.integration.api.requests import create_run
from tests.integration.platform.world import RefusedError, World

AT = {"project": PROJECT, "domain": DOMAIN, "run": "r1"}
VIEW = {"nodes": [{"parent": "a0", "limit": 10}, {"limit": 10}]}


async def make_run(world: World) -> None:
    created = await world.http.post(
        "/flyteidl2.workflow.RunService/CreateRun",
        content=create_run().SerializeToString(),
        headers={
            "content-type": "application/proto",
            "authorization": f"Bearer {world.ada.org} {world.ada.subject}",
        },
    )
    assert created.is_success, created.text


async def test_tree_of_a_run_is_read_in_windows(world: World) -> None:
    await make_run(world)
    tree = (await world.ada.call("RunTreeService/GetTree", **AT, view=VIEW))["tree"]
    assert tree["phases"] == [{"phase": "queued", "count": "1"}]
    assert (tree["root"]["name"], tree["root"]["reason"]) == ("a0", "no_cluster")
    children, everything = tree["windows"]
    assert children == {}
    assert (everything["node"], everything["total"], everything["names"]) == (1, "1", ["a0"])


async def test_watch_of_a_tree_begins_with_its_windows_compressed(world: World) -> None:
    await make_run(world)
    message = json.dumps({**AT, "view": VIEW}).encode()
    async with world.http.stream(
        "POST",
        "/volary.platform.v1.RunTreeService/WatchTree",
        content=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={
            "accept-encoding": "gzip",
            "content-type": "application/connect+json",
            "authorization": f"Bearer {world.ada.org} {world.ada.subject}",
        },
    ) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        received = b""
        async for chunk in answer.aiter_bytes():  # decompressed
            received += chunk
            if len(received) >= 5 + int.from_bytes(received[1:5], "big"):
                break
    tree = json.loads(received[5 : 5 + int.from_bytes(received[1:5], "big")])["tree"]
    assert tree["root"]["name"] == "a0"
    assert len(tree["windows"]) == 2


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"sort": "size"}, "view.sort: 'size' is not one of attention"),
        ({"phases": ["finished"]}, "view.phases: 'finished' is not one of queued"),
        ({"nodes": [{"limit": 201}]}, "view.nodes.limit: must be from 0 to 200"),
        ({"nodes": [{"offset": -1}]}, "view.nodes.offset"),
        ({"nodes": [{}] * 51}, "send those that are visible, at most 50"),
        ({"nodes": [{"limit": 200}] * 6}, "at most 1000 rows"),
        ({"nodes": [{"fold": {"task": "t"}}]}, "name the parent"),
        ({"nodes": [{"parent": "a/b"}]}, "action"),
    ],
)
async def test_bad_view_of_a_tree_is_refused(
    world: World, view: dict[str, Any], message: str
) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        await world.ada.call("RunTreeService/GetTree", **AT, view=view)
    assert refused.value.code == "invalid_argument"


async def test_tree_of_another_org_does_not_exist(world: World) -> None:
    await make_run(world)
    bob = await world.join("bob", VIEWER)
    assert (await bob.call("RunTreeService/GetTree", **AT))["tree"]["root"]
    with pytest.raises(RefusedError) as refused:
        await world.eve.call("RunTreeService/GetTree", **AT, view=VIEW)
    assert refused.value.code == "not_found"
