"""We test what the SDK is told of queues, limits and timeouts, and what pages say of waiting."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from connectrpc.code import Code
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.workflow.run_service_pb2 import GetActionDetailsRequest

from controlplane.core.callers import EVERYTHING, Caller, Grant, Permission, Subject, org_wide
from controlplane.core.errors import InvalidError, NotFoundError
from controlplane.core.queues import QueueChange
from controlplane.loops.timeouts import Timeouts
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.queue_shares import QueueShareReader
from controlplane.usecases.queues import Queues
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName
from shared.model.phases import Phase
from tests.fakes.clock import FakeClock
from tests.integration.api.client import CLUSTER, DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    action_id,
    create_run,
    enqueue,
    refusal,
    task_spec,
)

OPERATOR = Caller(subject=Subject("operator"), org=ORG, name="", grants=org_wide(EVERYTHING))


@pytest.fixture
async def queues(api: ApiUnderTest) -> Queues:
    return Queues(api.database, SystemClock())


def into(queue: str, request: EnqueueRequest) -> EnqueueRequest:
    request.action.task.queue = queue
    return request


async def test_full_queue_refuses_an_enqueue_with_a_code_the_sdk_backs_off_on(
    api: ApiUnderTest, queues: Queues
) -> None:
    await queues.set(OPERATOR, "short", QueueChange(depth=1))
    await api.runs.create_run(create_run())
    await api.claim()
    await api.actions.enqueue(into("short", enqueue(api, "n1")))
    code, sentence = await refusal(api.actions.enqueue(into("short", enqueue(api, "n2"))))
    assert code is Code.RESOURCE_EXHAUSTED
    assert "full" in sentence

    assert len(await api.claim()) == 1
    await api.actions.enqueue(into("short", enqueue(api, "n2")))


async def test_a_run_for_a_full_queue_is_refused_and_leaves_nothing(
    api: ApiUnderTest, queues: Queues
) -> None:
    await queues.set(OPERATOR, "short", QueueChange(depth=1))
    await api.runs.create_run(create_run("r1", run_spec=RunSpec(queue="short")))
    again = create_run("r2", run_spec=RunSpec(queue="short"))
    code, _ = await refusal(api.runs.create_run(again))
    assert code is Code.RESOURCE_EXHAUSTED
    await api.claim()
    await api.runs.create_run(again)


async def test_a_queue_that_is_not_there_is_named(api: ApiUnderTest) -> None:
    code, sentence = await refusal(
        api.runs.create_run(create_run(run_spec=RunSpec(queue="nowhere")))
    )
    assert (code, "nowhere" in sentence) == (Code.NOT_FOUND, True)


async def test_timeout_error_names_the_timeout_that_passed(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run())
    for name, field in (("waits", "queued_timeout"), ("late", "deadline")):
        spec = task_spec("env.child", version=name)
        getattr(spec.task_template.metadata.timeouts, field).FromSeconds(60)
        await api.actions.enqueue(enqueue(api, name, spec=spec))
    clock = FakeClock(SystemClock().now() + timedelta(seconds=61))
    assert await Timeouts(api.database, clock, every=timedelta(1)).run_once() == 2

    codes = {}
    for name in ("waits", "late"):
        request = GetActionDetailsRequest(action_id=action_id(name))
        details = (await api.runs.get_action_details(request)).details
        codes[name] = details.error_info.code
        assert details.status.phase == Phase.TIMED_OUT
    assert codes == {"waits": "QUEUED_TIMEOUT_EXCEEDED", "late": "DEADLINE_EXCEEDED"}


async def test_run_page_shows_the_pending_reason_of_each_action(
    api: ApiUnderTest, queues: Queues
) -> None:
    await queues.set(OPERATOR, "gpu", QueueChange(pool="gpus"))
    await api.runs.create_run(create_run())
    [root] = await api.claim()
    await api.report(root, Phase.RUNNING)
    await api.actions.enqueue(enqueue(api, "plain"))
    await api.actions.enqueue(into("gpu", enqueue(api, "wants-gpu")))

    address = f"{api.url}/v2/domain/{DOMAIN}/project/{PROJECT}/runs/r1"
    async with httpx.AsyncClient(headers={"accept": "application/json"}) as http:
        run = (await http.get(address)).json()
        action = (await http.get(f"{address}?i=wants-gpu")).json()
        page = (await http.get(address, headers={"accept": "text/html"})).text
        stranger = await http.get(f"{address}?i=nobody")
    assert {(each["action"], each["reason"]) for each in run["pending"]} == {
        ("a0", "leased_not_accepted"),
        ("plain", "no_cluster"),  # nobody has connected
        ("wants-gpu", "no_cluster"),
    }
    assert action["reason"] == "no_cluster"
    assert "pool gpus" in action["why"]
    assert [each["reason"] for each in action["timeline"]]
    assert "No cluster serves pool gpus" in page
    assert stranger.status_code == 404


async def test_leased_attempts_of_a_cluster_are_listed_by_pages(api: ApiUnderTest) -> None:
    clusters = Clusters(api.database, SystemClock())
    for number in range(3):
        await api.runs.create_run(create_run(f"r{number}"))
    await api.claim()
    await api.runs.create_run(create_run("waiting"))
    found, after = await clusters.list_leased(OPERATOR, CLUSTER, limit=2)
    rest, end = await clusters.list_leased(OPERATOR, CLUSTER, limit=2, after=after)
    assert sorted(each.action.run.name for each in [*found, *rest]) == ["r0", "r1", "r2"]
    assert end == ""
    elsewhere = replace(
        OPERATOR, grants=(*org_wide({Permission.CLUSTER_READ}), Grant(EVERYTHING, "another"))
    )
    assert await clusters.list_leased(elsewhere, CLUSTER) == ([], "")
    with pytest.raises(InvalidError, match="page_token"):
        await clusters.list_leased(OPERATOR, CLUSTER, after="nonsense")
    with pytest.raises(NotFoundError):
        await clusters.list_leased(OPERATOR, ClusterName("none"))


async def test_queue_shows_what_its_runs_hold_and_why_the_oldest_waits(
    api: ApiUnderTest, queues: Queues
) -> None:
    reader = QueueShareReader(api.database, SystemClock())
    await queues.set(OPERATOR, "gpu", QueueChange(pool="gpus"))
    for run in ("r1", "r2"):
        await api.runs.create_run(create_run(run, run_spec=RunSpec(queue="gpu")))
    await api.runs.create_run(create_run("usual"))
    await api.claim()
    found = await reader.list(OPERATOR, "gpu", limit=10)
    assert [
        (each.share.oldest.run.name, each.share.waiting, each.share.leased) for each in found.runs
    ] == [
        ("r1", 1, 0),
        ("r2", 1, 0),
    ]
    why = found.runs[0].why
    assert why is not None
    assert "gpus" in why.message
    assert found.is_complete
    [usual] = (await reader.list(OPERATOR, "", limit=10)).runs
    assert (usual.share.oldest.run.name, usual.share.waiting, usual.share.leased) == ("usual", 0, 1)
    assert usual.why is None
    elsewhere = replace(
        OPERATOR, grants=(*org_wide({Permission.QUEUE_READ}), Grant(EVERYTHING, "another"))
    )
    assert (await reader.list(elsewhere, "gpu", limit=10)).runs == []
    with pytest.raises(NotFoundError):
        await reader.list(OPERATOR, "none", limit=10)
    with pytest.raises(InvalidError):
        await reader.list(OPERATOR, "gpu", limit=0)


async def test_queue_counts_a_bounded_number_of_waiting_actions(
    api: ApiUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.store.dispatch.queue_shares.MOST_EXAMINED", 2)
    for run in ("r1", "r2", "r3"):
        await api.runs.create_run(create_run(run))
    found = await QueueShareReader(api.database, SystemClock()).list(OPERATOR, "", limit=10)
    assert len(found.runs) == 2
    assert not found.is_complete
