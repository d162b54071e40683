"""Attempts, failures, critical path and activity of a run by plain JSON over HTTP."""

import json

import pytest

from tests.integration.platform.test_run_trees import AT, make_run
from tests.integration.platform.world import RefusedError, World

SERVICE = "ExplanationService"


async def test_run_that_waits_is_analysed(world: World) -> None:
    await make_run(world)
    assert await world.ada.call(f"{SERVICE}/ListAttempts", **AT, action="a0") == {}
    assert await world.ada.call(f"{SERVICE}/ListFailures", **AT) == {}
    path = await world.ada.call(f"{SERVICE}/GetCriticalPath", **AT)
    assert path["message"].startswith("Of ")
    assert path["pieces"][0]["action"] == "a0"
    activity = await world.ada.call(f"{SERVICE}/GetActivity", **AT, buckets=3)
    assert len(activity["buckets"]) == 3


async def test_explanation_is_watched_until_the_action_ends(world: World) -> None:
    await make_run(world)
    message = json.dumps({**AT, "action": "a0"}).encode()
    headers = {"authorization": f"Bearer {world.ada.org} {world.ada.subject}"}
    async with world.http.stream(
        "POST",
        f"/volary.platform.v1.{SERVICE}/WatchExplanation",
        content=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={**headers, "content-type": "application/connect+json"},
    ) as answer:
        reasons: list[str] = []
        received = b""
        async for chunk in answer.aiter_bytes():
            received += chunk
            while len(received) >= 5 + int.from_bytes(received[1:5], "big") > 5:
                size = int.from_bytes(received[1:5], "big")
                found, received = json.loads(received[5 : 5 + size]), received[5 + size :]
                if "explanation" in found:
                    reasons.append(found["explanation"]["reason"])
                if len(reasons) == 1:
                    aborted = await world.http.post(
                        "/flyteidl2.workflow.RunService/AbortRun",
                        json={
                            "runId": {
                                "project": AT["project"],
                                "domain": AT["domain"],
                                "name": "r1",
                            }
                        },
                        headers=headers,
                    )
                    assert aborted.is_success, aborted.text
    assert reasons == ["no_cluster", "ended"]


@pytest.mark.parametrize(
    ("rpc", "request_", "message"),
    [
        ("GetActivity", {"buckets": 501}, "buckets: must be from 0 to 500"),
        (
            "GetActivity",
            {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
            "until",
        ),
        ("ListFailures", {"pageToken": "x"}, "page_token"),
        ("ListAttempts", {"action": "a/b"}, "action"),
        ("ListAttempts", {"action": "a0", "pageToken": "x"}, "page_token"),
    ],
)
async def test_bad_request_about_a_run_is_refused(
    world: World, rpc: str, request_: dict[str, object], message: str
) -> None:
    await make_run(world)
    with pytest.raises(RefusedError, match=message) as refused:
        await world.ada.call(f"{SERVICE}/{rpc}", **AT, **request_)
    assert refused.value.code == "invalid_argument"
