"""Tests of the ledger's API writes: few, each guarded by a resource version."""

import asyncio
from datetime import timedelta
from random import Random

import pytest

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.objects import (
    AGENT_LABEL,
    CONFIG_MAP,
    NAMESPACE,
    TASK_ACTION,
    Name,
    name_attempt,
    name_of,
)
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.taskactions import journal_limits, specs
from shared.model.phases import Phase
from tests.contract.ledger.promises import FAILED, acknowledged, digest_of, with_specs
from tests.kube.api.ledger.conftest import open_journal, open_ledger
from tests.kube.controlplane import KubeForTests
from tests.unit.agent.assignments import NOW, make_assignment

ASSIGNMENT = make_assignment()
ATTEMPT = ASSIGNMENT.attempt

pytestmark = pytest.mark.usefixtures("task_actions")


def task_action_writes(kube: Kube) -> dict[str, int]:
    return {
        f"{verb} {resource}": count
        for (verb, resource, _), count in kube.requests.items()
        if resource.startswith("taskactions") and verb not in ("get", "list", "watch")
    }


async def until_deleted(kube: Kube, place: str) -> None:
    async with asyncio.timeout(60):
        while (await kube.list(TASK_ACTION, namespace=place)).items:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_task_action_takes_one_create_three_patches_one_delete(
    kube: Kube, place: str
) -> None:
    async with open_ledger(kube, place, retention=timedelta(0)) as ledger:
        await ledger.accept([ASSIGNMENT], {}, NOW)
        for phase in (Phase.INITIALIZING, Phase.RUNNING, Phase.SUCCEEDED):
            await ledger.record(ATTEMPT, [StatusUpdate(phase=phase)], NOW)
        await ledger.acknowledge(acknowledged(ATTEMPT, 3))
        await until_deleted(kube, place)

    assert task_action_writes(kube) == {
        "create taskactions": 1,
        "patch taskactions/status": 3,
        "delete taskactions": 1,
    }


async def test_reports_during_a_write_are_batched_into_the_next(kube: Kube, place: str) -> None:
    async with open_ledger(kube, place) as ledger:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ledger.accept([ASSIGNMENT], {}, NOW))
            await asyncio.sleep(0)
            for phase in (Phase.INITIALIZING, Phase.RUNNING, Phase.SUCCEEDED):
                tasks.create_task(ledger.record(ATTEMPT, [StatusUpdate(phase=phase)], NOW))
        assert [report.version for report in ledger.outbox.take()] == [1, 2, 3]

    assert task_action_writes(kube) == {"create taskactions": 1, "patch taskactions/status": 1}


async def test_task_action_is_readable_with_kubectl(
    kube: Kube, place: str, kube_api: KubeForTests
) -> None:
    async with open_ledger(kube, place) as ledger:
        await ledger.accept([ASSIGNMENT], {}, NOW)
        await ledger.record(ATTEMPT, [FAILED], NOW)

    lines = kube_api.kubectl("get", "ta", "--namespace", place, "-o", "wide").splitlines()
    assert lines[0].split() == [
        *("NAME", "PROJECT", "DOMAIN", "RUN", "ACTION", "ATTEMPT"),
        *("TYPE", "PHASE", "REASON", "AGE"),
    ]
    name = name_attempt(ASSIGNMENT, place).name
    assert lines[1].split()[:-1] == [
        *(name, "p", "development", "r1", "a1", "1", "python", "FAILED", "X"),
    ]


async def test_task_action_spec_is_immutable(kube: Kube, place: str) -> None:
    async with open_ledger(kube, place) as ledger:
        await ledger.accept([ASSIGNMENT], {}, NOW)

    with pytest.raises(Exception, match="does not change"):
        await kube.patch(
            TASK_ACTION, name_attempt(ASSIGNMENT, place), {"spec": {"taskType": "other"}}
        )


async def test_foreign_label_does_not_disturb_task_action_writes(kube: Kube, place: str) -> None:
    name = name_attempt(ASSIGNMENT, place)
    async with open_ledger(kube, place) as ledger:
        await ledger.accept([ASSIGNMENT], {}, NOW)
        await kube.patch(TASK_ACTION, name, {"metadata": {"labels": {"some": "body"}}})
        await ledger.record(ATTEMPT, [StatusUpdate(phase=Phase.RUNNING)], NOW)

    assert (await kube.get(TASK_ACTION, name))["status"]["phase"] == "RUNNING"


async def test_deleted_task_action_is_recreated(kube: Kube, place: str) -> None:
    name = name_attempt(ASSIGNMENT, place)
    async with open_ledger(kube, place) as ledger:
        await ledger.accept([ASSIGNMENT], {}, NOW)
        await ledger.record(ATTEMPT, [StatusUpdate(phase=Phase.RUNNING)], NOW)
        await kube.delete(TASK_ACTION, name)
        await ledger.record(ATTEMPT, [FAILED], NOW)

    assert set((await kube.get(TASK_ACTION, name))["status"]["reports"]) == {"1", "2"}


async def test_second_agent_on_one_ledger_stops_at_its_write(kube: Kube, place: str) -> None:
    async with open_ledger(kube, place) as old:
        await old.accept([ASSIGNMENT], {}, NOW)
        async with open_ledger(kube, place) as new:
            await new.record(ATTEMPT, [StatusUpdate(phase=Phase.RUNNING)], NOW)

    async def write_with_both() -> None:
        async with open_ledger(kube, place) as old, open_ledger(kube, place) as new:
            await new.record(ATTEMPT, [StatusUpdate(phase=Phase.SUCCEEDED)], NOW)
            await old.record(ATTEMPT, [FAILED], NOW)

    with pytest.raises(BaseExceptionGroup) as caught:
        await write_with_both()
    assert caught.group_contains(LedgerError, match="another agent")

    status = (await kube.get(TASK_ACTION, name_attempt(ASSIGNMENT, place)))["status"]
    assert status["phase"] == "SUCCEEDED"


async def test_ended_task_actions_are_kept_for_retention(kube: Kube, place: str) -> None:
    async with open_ledger(kube, place, retention=timedelta(seconds=1)) as ledger:
        await ledger.accept([ASSIGNMENT], {}, NOW)
        await ledger.record(ATTEMPT, [FAILED], NOW)
        await ledger.acknowledge(acknowledged(ATTEMPT, 1))
        assert (await kube.list(TASK_ACTION, namespace=place)).items
        await until_deleted(kube, place)


async def test_oldest_ended_task_actions_are_deleted_beyond_limit(
    kube: Kube, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_limits, "ENDED_TASKACTIONS_KEPT", 1)
    async with open_ledger(kube, place, retention=timedelta(hours=1)) as ledger:
        for number in (1, 2, 3):
            each = make_assignment(number)
            await ledger.accept([each], {}, NOW)
            await ledger.record(each.attempt, [FAILED], NOW)
            await ledger.acknowledge(acknowledged(each.attempt, 1))
        async with asyncio.timeout(60):
            while len((await kube.list(TASK_ACTION, namespace=place)).items) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await kube.get(TASK_ACTION, name_attempt(make_assignment(3), place))


async def test_owner_task_action_is_found_without_request(kube: Kube, place: str) -> None:
    async with open_journal(kube, place) as journal:
        await journal.accept([ActiveAttempt(assignment=ASSIGNMENT, accepted_at=NOW)], {})
        name = name_attempt(ASSIGNMENT, place)
        made = await kube.get(TASK_ACTION, name)
        found = journal.find_object(ATTEMPT)
        assert found is not None
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        assert name_of(found) == name

        noted = {"metadata": {"annotations": {"volary.dev/verdict": "{}"}}}
        journal.note_object(ATTEMPT, await kube.patch(TASK_ACTION, name, noted))
        found = journal.find_object(ATTEMPT)
        assert found is not None
        assert found["metadata"]["annotations"] == {"volary.dev/verdict": "{}"}
        assert journal.find_object(make_assignment(2).attempt) is None

    async with open_journal(kube, place) as journal:  # the next agent's
        await journal.load()
        found = journal.find_object(ATTEMPT)
        assert found is not None
        assert found["metadata"]["annotations"] == {"volary.dev/verdict": "{}"}


async def test_spec_is_written_once_and_split_if_large(
    kube: Kube, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specs, "_PIECE_BYTES", 200_000)
    large = Random(1).randbytes(500_000)
    first, second = with_specs(large, b"run", 1), with_specs(large, b"run", 2)
    sent = {first.task_spec: large, first.run_spec: b"run"}
    async with open_ledger(kube, place) as ledger:
        await ledger.accept([first], sent, NOW)
        await ledger.accept([second], sent, NOW)
        assert await ledger.spec(first.task_spec) == large

    assert kube.requests["create", "configmaps", 201] == 1 + 3 + 1  # facts, pieces, run
    async with open_ledger(kube, place) as ledger:
        assert await ledger.spec(first.task_spec) == large
        await ledger.forget([first.attempt, second.attempt])
        await ledger.begin_session()
        async with asyncio.timeout(60):
            while len((await kube.list(CONFIG_MAP, namespace=place)).items) > 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # the facts and the cluster's own are left
        await ledger.accept([first], sent, NOW)
        assert await ledger.spec(first.task_spec) == large


async def test_tampered_spec_is_not_used(kube: Kube, place: str) -> None:
    assignment = with_specs(b"task", b"run")
    async with open_ledger(kube, place) as ledger:
        await ledger.accept([assignment], {assignment.task_spec: b"task"}, NOW)
        name = Name(place, f"spec-{digest_of(b'task').hex()}")
        changed = dict(await kube.get(CONFIG_MAP, name))
        await kube.delete(CONFIG_MAP, name)
        metadata = {"name": name.name, "namespace": place}
        metadata["annotations"] = changed["metadata"]["annotations"]
        data = {"spec.gz": "H4sIAAAAAAACAwMAAAAAAAAAAAA="}  # of nothing
        await kube.create(CONFIG_MAP, {**changed, "metadata": metadata, "binaryData": data})

        assert await ledger.spec(assignment.task_spec) is None


async def test_missing_namespace_is_created_if_allowed(kube: Kube, place: str) -> None:
    template = f"{place}-{{project}}"
    async with open_ledger(kube, place, template=template, create=True) as ledger:
        assert await ledger.accept([ASSIGNMENT], {}, NOW)
    try:
        assert await kube.get(TASK_ACTION, name_attempt(ASSIGNMENT, template))
    finally:
        await kube.delete(NAMESPACE, Name("", f"{place}-p"))


async def test_task_action_without_namespace_is_kept_in_the_agents(kube: Kube, place: str) -> None:
    """So that it is accepted, and its user is informed what is missing."""
    template = f"{place}-{{project}}"
    async with open_ledger(kube, place, template=template) as ledger:
        assert await ledger.accept([ASSIGNMENT], {}, NOW)
        await ledger.record(ATTEMPT, [FAILED], NOW)
    async with open_ledger(kube, place, template=template) as ledger:
        assert ledger.active[ATTEMPT].phase is Phase.FAILED

    listing = await kube.list(TASK_ACTION, labels=f"{AGENT_LABEL}={place}")
    assert [obj["metadata"]["namespace"] for obj in listing.items] == [place]


async def test_ledger_waits_for_unreachable_api_server(
    kube: Kube, place: str, kube_api: KubeForTests
) -> None:
    async with asyncio.timeout(60), open_ledger(kube, place) as ledger:
        with kube_api.api_server.held_up():
            async with asyncio.TaskGroup() as tasks:
                accepting = tasks.create_task(ledger.accept([ASSIGNMENT], {}, NOW))
                await asyncio.sleep(0)
                accepting.cancel()  # its session has ended
            await ledger.begin_session()  # this must not wait for the API server
        assert ledger.leases()
        assert await ledger.accept([ASSIGNMENT], {}, NOW) == []
        await ledger.record(ATTEMPT, [StatusUpdate(phase=Phase.RUNNING)], NOW)
    assert (await kube.get(TASK_ACTION, name_attempt(ASSIGNMENT, place)))["status"]["reports"]


async def test_cluster_without_task_action_crd_names_remedy(
    kube: Kube, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = TASK_ACTION.__class__("volary.dev", "v9", "taskactions", "TaskAction")
    monkeypatch.setattr("dataplane.agent.ledger.taskactions.journal.TASK_ACTION", unknown)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_ledger(kube, place):
            pass
    assert caught.group_contains(LedgerError, match=r"apply crds/taskactions\.yaml")
