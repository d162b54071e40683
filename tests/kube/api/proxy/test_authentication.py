"""Authentication with tokens that a real API server issues and reviews."""

import asyncio
from dataclasses import replace

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, GetRunDetailsResponse

from dataplane.agent.kube.objects import ACTION_LABEL, ATTEMPT_LABEL
from tests.kube.api.proxy.control import Control
from tests.kube.api.proxy.world import AGENTS_TOKEN, Pod, World
from tests.system.commands import DOMAIN, PROJECT


async def _ask(here: World, token: str, run: str = "r1") -> Code | None:
    """Ask for a run; return the refusal's code, None if it was answered."""
    client = RunServiceClient(here.url, **here.clients(token))
    run_id = RunIdentifier(org="local", project=PROJECT, domain=DOMAIN, name=run)
    try:
        await client.get_run_details(GetRunDetailsRequest(run_id=run_id))
    except ConnectError as error:
        return error.code
    return None


@pytest.fixture
async def pod(here: World, control: Control) -> Pod:
    control.say("GetRunDetails", GetRunDetailsResponse())
    return await here.pod()


async def test_pods_call_is_forwarded_with_the_agents_token(
    here: World, control: Control, pod: Pod
) -> None:
    assert await _ask(here, pod.token) is None

    (seen,) = control.seen
    assert seen.headers["authorization"] == f"Bearer {AGENTS_TOKEN}"
    assert pod.token not in str(seen.headers)
    assert seen.headers["x-volary-attempt"] == str(pod.assignment.attempt)
    assert seen.headers["x-volary-action"] == f"{PROJECT}/{DOMAIN}/r1/a0"
    assert GetRunDetailsRequest.FromString(seen.text).run_id.name == "r1"


async def test_request_without_a_token_is_unauthenticated(here: World, control: Control) -> None:
    assert await _ask(here, "") is Code.UNAUTHENTICATED
    assert await _ask(here, "no-token-at-all") is Code.UNAUTHENTICATED
    assert await _ask(here, "x" * 20_000) is Code.UNAUTHENTICATED
    assert control.seen == []


async def test_token_for_another_audience_is_refused(here: World, pod: Pod) -> None:
    other = await here.token(pod.name, pod.uid, audience="https://kubernetes.default.svc")
    assert await _ask(here, other) is Code.UNAUTHENTICATED


async def test_token_of_no_pod_is_refused(here: World) -> None:
    made = await here.api.create(
        f"/api/v1/namespaces/{here.namespace}/serviceaccounts/default/token",
        {"spec": {"audiences": ["volary-proxy"]}},
    )
    assert await _ask(here, made["status"]["token"]) is Code.UNAUTHENTICATED


async def test_token_is_reviewed_once(here: World, pod: Pod) -> None:
    answers = await asyncio.gather(*(_ask(here, pod.token) for _ in range(20)))
    assert answers == [None] * 20
    assert here.kube.requests["create", "tokenreviews", 201] == 1


async def test_deleted_pod_may_not_call(here: World, pod: Pod) -> None:
    assert await _ask(here, pod.token) is None
    await here.delete(pod)
    assert await _ask(here, pod.token) is Code.PERMISSION_DENIED

    gets = here.kube.requests["get", "pods", 404]
    assert await _ask(here, pod.token) is Code.PERMISSION_DENIED
    assert here.kube.requests["get", "pods", 404] == gets, "it is asked for once"


async def test_token_first_used_after_its_pods_deletion_is_refused(here: World, pod: Pod) -> None:
    await here.delete(pod)
    assert await _ask(here, pod.token) is Code.UNAUTHENTICATED


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_ended_pod_may_not_call(here: World, pod: Pod, phase: str) -> None:
    assert await _ask(here, pod.token) is None
    await here.end(pod, phase)
    assert await _ask(here, pod.token) is Code.PERMISSION_DENIED


async def test_pod_with_a_deleted_pods_name_is_another_caller(here: World, pod: Pod) -> None:
    assert await _ask(here, pod.token) is None
    await here.delete(pod)
    body = {
        "metadata": {"name": pod.name},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
    await here.api.create(f"/api/v1/namespaces/{here.namespace}/pods", body)
    assert await _ask(here, pod.token) is Code.PERMISSION_DENIED


async def test_pod_of_no_attempt_may_not_call(here: World) -> None:
    body = {
        "metadata": {"name": "stranger"},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
    made = await here.api.create(f"/api/v1/namespaces/{here.namespace}/pods", body)
    token = await here.token("stranger", made["metadata"]["uid"])
    assert await _ask(here, token) is Code.PERMISSION_DENIED


async def test_annotations_without_the_attempt_are_refused(here: World, pod: Pod) -> None:
    path = f"/api/v1/namespaces/{here.namespace}/pods/{pod.name}"
    gone = {ATTEMPT_LABEL: None, ACTION_LABEL: None}
    await here.api.patch(path, {"metadata": {"annotations": gone}})
    fresh = replace(pod, token=await here.token(pod.name, pod.uid))

    async with asyncio.timeout(60):
        while await _ask(here, fresh.token) is not Code.PERMISSION_DENIED:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_while_the_api_server_is_silent_known_tokens_are_good_and_new_ones_wait(
    here: World, pod: Pod, kube_api: object
) -> None:
    other = await here.pod("r2")
    assert await _ask(here, pod.token) is None

    with kube_api.api_server.held_up():  # type: ignore[attr-defined]
        assert await _ask(here, pod.token) is None
        assert await _ask(here, other.token, "r2") is Code.UNAVAILABLE

    assert await _ask(here, other.token, "r2") is None
