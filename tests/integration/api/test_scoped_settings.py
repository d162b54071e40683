"""SettingsService, and what settings do to runs that are created, through the API."""

import asyncio
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.core import tasks_pb2
from flyteidl2.dataproxy.dataproxy_service_pb2 import UploadInputsRequest
from flyteidl2.settings.settings_definition_pb2 import (
    ScopeLevel,
    Settings,
    SettingsKey,
    SettingState,
)
from flyteidl2.settings.settings_service_pb2 import (
    CreateSettingsRequest,
    GetSettingsForEditRequest,
    GetSettingsRequest,
    SettingsRecord,
    UpdateSettingsRequest,
)
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.workflow.queue_service_pb2 import EnqueueActionRequest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.queues import QueueChange
from controlplane.usecases.queues import Queues
from shared.kit.clock import SystemClock
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import (
    create_run,
    enqueue,
    project_id,
    refusal,
    run_id,
    task_spec,
)
from tests.integration.store.examined import counting_statements

OF_ORG = SettingsKey()
OF_DOMAIN = SettingsKey(domain=DOMAIN)
OF_PROJECT = SettingsKey(domain=DOMAIN, project=PROJECT)


def make(**values: Any) -> Settings:
    """Build settings from keys with ``__`` for a dot; None unsets."""
    message = Settings()
    for key, value in values.items():
        leaf: Any = message
        for name in key.split("__"):
            leaf = getattr(leaf, name)
        leaf.state = SettingState.SETTING_STATE_VALUE
        if value is None:
            leaf.state = SettingState.SETTING_STATE_UNSET
        elif isinstance(value, dict):
            leaf.map_value.entries.update(value)
        elif isinstance(value, tasks_pb2.GPUAccelerator):
            leaf.accelerator_value.CopyFrom(value)
        else:
            field = next(name for name in leaf.DESCRIPTOR.fields_by_name if name.endswith("_value"))
            setattr(leaf, field, value)
    return message


async def create(api: ApiUnderTest, key: SettingsKey, **values: Any) -> SettingsRecord:
    request = CreateSettingsRequest(key=key, settings=make(**values))
    return (await api.settings.create_settings(request)).settingsRecord


async def update(
    api: ApiUnderTest, key: SettingsKey, version: int, **values: Any
) -> SettingsRecord:
    request = UpdateSettingsRequest(key=key, settings=make(**values), version=version)
    return (await api.settings.update_settings(request)).settingsRecord


async def effective(api: ApiUnderTest, key: SettingsKey = OF_PROJECT) -> Settings:
    return (await api.settings.get_settings(GetSettingsRequest(key=key))).settingsRecord.settings


async def spec_of(api: ApiUnderTest, name: str) -> RunSpec:
    request = GetRunDetailsRequest(run_id=run_id(name))
    return (await api.runs.get_run_details(request)).details.run_spec


async def add_queue(api: ApiUnderTest, name: str) -> None:
    caller = Caller(subject=Subject("t"), org=ORG, name="t", grants=org_wide(EVERYTHING))
    await Queues(api.database, SystemClock()).create(caller, name, QueueChange())


async def queue_of(api: ApiUnderTest, name: str) -> str:
    async with api.database.for_org(ORG) as tx:
        rows = await tx.rows(text("SELECT queue FROM runs WHERE run = :run"), {"run": name})
    return str(rows[0][0])


async def test_settings_without_any_stored_are_empty_levels(api: ApiUnderTest) -> None:
    answer = await api.settings.get_settings_for_edit(GetSettingsForEditRequest(key=OF_PROJECT))

    assert [(each.key.domain, each.key.project, each.version) for each in answer.levels] == [
        ("", "", 0),
        (DOMAIN, "", 0),
        (DOMAIN, PROJECT, 0),
    ]
    assert answer.requestedKey.org == ORG
    assert await effective(api) == Settings()


async def test_default_queue_of_the_narrowest_level_is_that_of_runs(api: ApiUnderTest) -> None:
    for name in ("a", "b", "c"):
        await add_queue(api, name)
    await create(api, OF_ORG, run__default_queue="a")
    await create(api, OF_PROJECT, run__default_queue="b")

    await api.runs.create_run(create_run("plain"))
    await api.runs.create_run(create_run("named", run_spec=RunSpec(queue="c")))

    assert await queue_of(api, "plain") == "b"
    assert await queue_of(api, "named") == "c"
    levels = (
        await api.settings.get_settings_for_edit(GetSettingsForEditRequest(key=OF_PROJECT))
    ).levels
    assert [each.settings.run.default_queue.string_value for each in levels] == ["a", "", "b"]
    assert (await effective(api)).run.default_queue.scope_level == ScopeLevel.SCOPE_LEVEL_PROJECT


async def test_unset_settings_cut_off_those_above(api: ApiUnderTest) -> None:
    await add_queue(api, "a")
    await create(api, OF_ORG, run__default_queue="a", labels={"x": "1"})
    await create(api, OF_PROJECT, run__default_queue=None, labels=None)

    await api.runs.create_run(create_run("plain"))

    assert await queue_of(api, "plain") == ""
    assert not (await spec_of(api, "plain")).labels.values
    assert await effective(api) == Settings()
    assert (await effective(api, OF_DOMAIN)).labels.map_value.entries == {"x": "1"}


async def test_maps_are_merged_and_a_run_overrides_them(api: ApiUnderTest) -> None:
    await create(
        api,
        OF_ORG,
        labels={"x": "1", "y": "1"},
        annotations={"example.com/a": "1"},
        environment_variables={"A": "1", "B": "1"},
    )
    await create(api, OF_PROJECT, labels={"y": "2"}, environment_variables={"B": "2"})
    asked = RunSpec()
    asked.labels.values["z"] = "3"
    asked.envs.values.add(key="A", value="of the run")

    await api.runs.create_run(create_run("merged", run_spec=asked))

    spec = await spec_of(api, "merged")
    assert spec.labels.values == {"x": "1", "y": "2", "z": "3"}
    assert spec.annotations.values == {"example.com/a": "1"}
    assert {each.key: each.value for each in spec.envs.values} == {"A": "of the run", "B": "2"}


async def test_other_settings_fill_what_the_run_spec_leaves_open(api: ApiUnderTest) -> None:
    base = f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/runs"
    accelerator = tasks_pb2.GPUAccelerator(device="nvidia-l4")
    await create(
        api,
        OF_PROJECT,
        run__max_action_concurrency=5,
        run__run_base_dir=base,
        security__service_account="trainer",
        storage__raw_data_path="s3://lake/raw",
        pod_template_name="usual",
        task_resource__min__cpu="500m",
        task_resource__max__memory="32Gi",
        task_resource__mirror_limits_request=True,
        task_resource__default_accelerator=accelerator,
    )
    invented = RunSpec(max_action_concurrency=7)
    invented.default_settings.pod_template_name = "of the client"

    await api.runs.create_run(create_run("filled", run_spec=invented))

    spec = await spec_of(api, "filled")
    assert spec.max_action_concurrency == 7
    assert spec.run_base_dir == base
    assert spec.security_context.run_as.k8s_service_account == "trainer"
    assert spec.raw_data_storage.raw_data_prefix == "s3://lake/raw"
    defaults = spec.default_settings
    assert defaults.pod_template_name == "usual"
    assert [each.value for each in defaults.task_resource_defaults.requests] == ["500m"]
    assert [each.value for each in defaults.task_resource_defaults.max] == ["32Gi"]
    assert defaults.task_resource_defaults.default_accelerator == accelerator
    uploaded = await api.data.upload_inputs(
        UploadInputsRequest(project_id=project_id(), task_spec=task_spec())
    )
    assert uploaded.offloaded_input_data.uri.startswith(f"{base}/")


async def test_settings_changed_later_change_no_run_and_no_repeated_request(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run("before"))
    record = await create(api, OF_PROJECT, labels={"x": "1"})
    await api.runs.create_run(create_run("during"))
    await update(api, OF_PROJECT, record.version, labels={"x": "2"})

    for name in ("before", "during"):
        await api.runs.create_run(create_run(name))  # as a client that lost the answer repeats it

    assert not (await spec_of(api, "before")).labels.values
    assert (await spec_of(api, "during")).labels.values == {"x": "1"}
    other = RunSpec()
    other.labels.values["x"] = "1"
    code, _ = await refusal(api.runs.create_run(create_run("during", run_spec=other)))
    assert code == Code.ALREADY_EXISTS


async def test_editors_with_one_version_conflict(api: ApiUnderTest) -> None:
    assert (await create(api, OF_ORG, labels={"x": "1"})).version == 1
    assert (await refusal(create(api, OF_ORG, labels={"x": "2"})))[0] == Code.ALREADY_EXISTS

    results = await asyncio.gather(
        *(update(api, OF_ORG, 1, labels={"x": value}) for value in ("2", "3")),
        return_exceptions=True,
    )

    [won] = [each for each in results if isinstance(each, SettingsRecord)]
    [lost] = [each for each in results if not isinstance(each, SettingsRecord)]
    assert won.version == 2
    assert getattr(lost, "code", None) == Code.FAILED_PRECONDITION
    assert "reload" in str(lost)
    again = UpdateSettingsRequest(key=OF_ORG, settings=won.settings, version=2)
    assert (await api.settings.update_settings(again)).settingsRecord.version == 2
    assert (await refusal(update(api, OF_ORG, 0)))[0] == Code.INVALID_ARGUMENT
    assert (await refusal(update(api, OF_DOMAIN, 1)))[0] == Code.NOT_FOUND
    async with api.database.for_org(ORG) as tx:
        rows = await tx.rows(text("SELECT action FROM audit_log WHERE action LIKE 'settings%'"))
    assert sorted(str(row[0]) for row in rows) == ["settings.create", "settings.update"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"task_resource__min__cpu": "5potatoes"}, "task_resource.min.cpu"),
        ({"task_resource__max__gpu": "0.5"}, "task_resource.max.gpu"),
        (
            {"task_resource__min__memory": "2Gi", "task_resource__max__memory": "1Gi"},
            "task_resource.min.memory",
        ),
        ({"task_resource__mirror_limits_request": False}, "mirror_limits_request"),
        ({"task_resource__default_accelerator": tasks_pb2.GPUAccelerator()}, "accelerator"),
        ({"run__max_action_concurrency": 1}, "run.max_action_concurrency"),
        ({"run__run_base_dir": "s3://elsewhere/x"}, "run.run_base_dir"),
        ({"security__service_account": "Not A Name"}, "security.service_account"),
        ({"pod_template_name": ""}, "pod_template_name"),
        ({"labels": {"volary.dev/run": "x"}}, "volary.dev"),
        ({"labels": {"x": "a b"}}, "labels.x"),
        ({"annotations": {"a b": "x"}}, "annotations"),
        ({"environment_variables": {"_U_ORG_NAME": "x"}}, "_U_ORG_NAME"),
        ({"environment_variables": {"1A": "x"}}, "1A"),
        ({"environment_variables": {"BIG": "x" * 70_000}}, "environment_variables.BIG"),
        ({"app__disallow_anonymous": True}, "app.disallow_anonymous"),
    ],
)  # fmt: skip
async def test_settings_that_no_run_could_be_given_are_refused(
    api: ApiUnderTest, values: dict[str, Any], named: str
) -> None:
    code, message = await refusal(create(api, OF_ORG, **values))

    assert code == Code.INVALID_ARGUMENT
    assert named in message
    assert await effective(api) == Settings()


async def test_settings_of_what_does_not_exist_are_refused(api: ApiUnderTest) -> None:
    for key, code in (
        (SettingsKey(project=PROJECT), Code.INVALID_ARGUMENT),
        (SettingsKey(domain="nowhere"), Code.NOT_FOUND),
        (SettingsKey(domain=DOMAIN, project="nothing"), Code.NOT_FOUND),
    ):
        assert (await refusal(create(api, key, labels={"x": "1"})))[0] == code
        assert (await refusal(effective(api, key)))[0] == code
    code, message = await refusal(create(api, OF_ORG, run__default_queue="missing"))
    assert (code, "missing" in message) == (Code.NOT_FOUND, True)


async def test_minimum_above_an_inherited_maximum_is_refused(api: ApiUnderTest) -> None:
    await create(api, OF_ORG, task_resource__max__cpu="2")

    code, message = await refusal(create(api, OF_PROJECT, task_resource__min__cpu="3"))

    assert code == Code.INVALID_ARGUMENT
    assert "org" in message


async def test_run_that_asks_for_more_than_the_maximum_is_refused(api: ApiUnderTest) -> None:
    await create(api, OF_DOMAIN, task_resource__max__memory="32Gi")
    greedy = task_spec()
    greedy.task_template.container.resources.requests.add(
        name=tasks_pb2.Resources.MEMORY, value="64Gi"
    )

    code, message = await refusal(api.runs.create_run(create_run("greedy", task_spec=greedy)))

    assert code == Code.INVALID_ARGUMENT
    assert "task_resource.max.memory of the domain" in message


async def test_child_that_asks_for_more_than_the_maximum_of_its_run_is_refused(
    api: ApiUnderTest,
) -> None:
    await create(api, OF_DOMAIN, task_resource__max__memory="32Gi")
    await api.runs.create_run(create_run())
    await update(api, OF_DOMAIN, 1, task_resource__max__memory="1Gi")
    modest, greedy = child(api, "modest", "32Gi"), child(api, "greedy", "33Gi")

    with counting_statements(api.database) as statements:
        await api.actions.enqueue(modest)
        first = len(statements)
        await api.actions.enqueue(child(api, "second", "1Mi"))
        others = len(statements) - first
    code, message = await refusal(api.actions.enqueue(greedy))
    older = EnqueueActionRequest(
        action_id=greedy.action.action_id,
        parent_action_name="a0",
        input_uri=greedy.action.input_uri,
        run_output_base=greedy.action.run_output_base,
        task=greedy.action.task,
    )

    assert code == Code.INVALID_ARGUMENT
    assert (
        "env.child asks for 33Gi of memory, and task_resource.max.memory of the settings" in message
    )
    assert (await refusal(api.queue.enqueue_action(older)))[1] == message
    assert others < first, "the run's maxima are read once"


def child(api: ApiUnderTest, name: str, memory: str) -> EnqueueRequest:
    request = enqueue(api, name)
    template = request.action.task.spec.task_template
    template.container.resources.requests.add(name=tasks_pb2.Resources.MEMORY, value=memory)
    return request
