"""Triggers through the real API: deploy, activate, delete, get, list, run by hand."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.list_pb2 import Filter, ListRequest, Sort
from flyteidl2.core.types_pb2 import SimpleType
from flyteidl2.project.project_service_pb2 import Project, ProjectState, UpdateProjectRequest
from flyteidl2.task.common_pb2 import Inputs, TriggerAutomationSpec
from flyteidl2.trigger.trigger_definition_pb2 import TriggerRevisionAction
from flyteidl2.trigger.trigger_service_pb2 import (
    DeleteTriggersRequest,
    GetTriggerDetailsRequest,
    GetTriggerRevisionDetailsRequest,
    GetTriggerRevisionHistoryRequest,
    ListTriggersRequest,
    UpdateTriggersRequest,
)

from tests.integration.api.client import ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import project_id, refusal, task_id
from tests.integration.api.triggers import (
    NONE,
    cron,
    deploy_scheduled,
    deploy_trigger,
    details,
    history,
    inputs,
    of_task,
    rate,
    trigger_id,
    trigger_name,
)

DEPLOY = TriggerRevisionAction.TRIGGER_REVISION_ACTION_DEPLOY
ACTIVATE = TriggerRevisionAction.TRIGGER_REVISION_ACTION_ACTIVATE
DEACTIVATE = TriggerRevisionAction.TRIGGER_REVISION_ACTION_DEACTIVATE
DELETE = TriggerRevisionAction.TRIGGER_REVISION_ACTION_DELETE


async def test_deployed_trigger_is_found_with_everything_that_was_sent(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    request = deploy_trigger()
    request.spec.run_spec.labels.values["team"] = "data"

    made = (await api.triggers.deploy_trigger(request)).trigger
    found = await details(api)

    assert made == found
    assert (found.id.revision, found.id.name.org, found.id.name.task_name) == (1, ORG, "env.main")
    assert found.spec.active
    assert found.spec.task_version == "v1"
    assert found.spec.run_spec.labels.values == {"team": "data"}
    assert found.spec.inputs.literals[0].value.scalar.primitive.integer == 3
    assert found.automation_spec.schedule.cron.expression == "* * * * *"
    assert found.metadata.deployed_by.user.id.subject == "anonymous"
    assert found.metadata.updated_by.user.id.subject == "anonymous"
    assert found.status.HasField("deployed_at")
    assert not found.status.HasField("triggered_at")


async def test_redeployed_trigger_without_a_change_keeps_its_revision(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())

    for _ in range(2):
        await api.triggers.deploy_trigger(deploy_trigger())
    changed = await api.triggers.deploy_trigger(
        deploy_trigger(automation=cron("0 * * * *", kickoff="when"))
    )

    assert changed.trigger.id.revision == 2
    assert await history(api) == [(2, DEPLOY), (1, DEPLOY)]


async def test_deployment_of_a_stale_revision_is_refused(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    for hour in range(3):
        await api.triggers.deploy_trigger(
            deploy_trigger(automation=cron(f"0 {hour} * * *", kickoff="when"))
        )

    answers = await asyncio.gather(
        *(
            api.triggers.deploy_trigger(
                deploy_trigger(automation=cron(f"30 {hour} * * *", kickoff="when"), revision=3)
            )
            for hour in range(2)
        ),
        return_exceptions=True,
    )

    [refused] = [each for each in answers if isinstance(each, ConnectError)]
    [made] = [each for each in answers if not isinstance(each, BaseException)]
    assert made.trigger.id.revision == 4
    assert refused.code is Code.FAILED_PRECONDITION
    assert "revision 4" in refused.message


async def test_trigger_is_activated_and_deactivated_with_a_revision_each(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    await api.triggers.deploy_trigger(deploy_trigger())

    for active in (True, False, False, True):
        await api.triggers.update_triggers(
            UpdateTriggersRequest(names=[trigger_name()], active=active)
        )

    assert (await details(api)).spec.active
    assert await history(api) == [(3, ACTIVATE), (2, DEACTIVATE), (1, DEPLOY)]


async def test_update_and_delete_change_all_triggers_or_none(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    await api.triggers.deploy_trigger(deploy_trigger())
    names = [trigger_name(), trigger_name("absent"), trigger_name("gone")]

    for call in (
        api.triggers.update_triggers(UpdateTriggersRequest(names=names, active=False)),
        api.triggers.delete_triggers(DeleteTriggersRequest(names=names)),
    ):
        code, message = await refusal(call)
        assert code is Code.NOT_FOUND
        assert "absent" in message
        assert "gone" in message

    assert (await details(api)).spec.active


async def test_deleted_trigger_is_gone_but_its_revisions_are_readable(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    await api.triggers.deploy_trigger(deploy_trigger())

    await api.triggers.delete_triggers(DeleteTriggersRequest(names=[trigger_name()]))

    code, message = await refusal(
        api.triggers.get_trigger_details(GetTriggerDetailsRequest(name=trigger_name()))
    )
    assert code is Code.NOT_FOUND
    assert "nightly" in message
    listed = await api.triggers.list_triggers(ListTriggersRequest(project_id=project_id()))
    assert not listed.triggers
    last = await api.triggers.get_trigger_revision_details(
        GetTriggerRevisionDetailsRequest(id=trigger_id(2))
    )
    assert last.trigger.status.HasField("deleted_at")
    assert await history(api) == [(2, DELETE), (1, DEPLOY)]
    again = await api.triggers.deploy_trigger(deploy_trigger())
    assert again.trigger.id.revision == 3


async def test_task_is_deployed_with_its_triggers_and_without_them_again(
    api: ApiUnderTest,
) -> None:
    by_hand = deploy_trigger("by-hand", NONE, given=inputs(x=1, when=1))

    await api.tasks.deploy_task(deploy_scheduled(of_task("a"), of_task("b")))
    await api.triggers.deploy_trigger(by_hand)
    await api.tasks.deploy_task(deploy_scheduled(of_task("b", cron("0 * * * *", kickoff="when"))))
    first = await _names(api)
    assert (await details(api, "b")).id.revision == 2
    await api.tasks.deploy_task(deploy_scheduled())

    assert first == ["b", "by-hand"]
    assert await _names(api) == ["by-hand"]
    assert await history(api, "a") == [(2, DELETE), (1, DEPLOY)]


async def test_deployment_of_another_version_moves_the_triggers(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    await api.tasks.deploy_task(deploy_scheduled(of_task(), version="v2"))

    assert (await details(api)).spec.task_version == "v2"
    for version, expected in (("v1", 0), ("v2", 1)):
        listed = await api.triggers.list_triggers(
            ListTriggersRequest(task_id=task_id(version=version))
        )
        assert len(listed.triggers) == expected


async def test_refused_deployment_of_a_task_leaves_its_triggers_as_they_are(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task()))
    other = deploy_scheduled(of_task("other"))
    other.spec.short_name = "renamed"

    code, _ = await refusal(api.tasks.deploy_task(other))

    assert code is Code.ALREADY_EXISTS
    assert await _names(api) == ["nightly"]


async def test_two_deployments_of_a_task_at_once_leave_the_triggers_of_one(
    api: ApiUnderTest,
) -> None:
    await asyncio.gather(
        *(
            api.tasks.deploy_task(
                deploy_scheduled(of_task(f"a{number}"), of_task(f"b{number}"), version=f"v{number}")
            )
            for number in range(6)
        )
    )

    found = await _names(api)
    assert len(found) == 2
    assert {name[1:] for name in found} == {found[0][1:]}


async def _names(api: ApiUnderTest) -> list[str]:
    listed = await api.triggers.list_triggers(ListTriggersRequest(project_id=project_id()))
    return sorted(each.id.name.name for each in listed.triggers)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"automation": cron("61 * * * *")}, "field 1 (minute) is '61'"),
        ({"automation": cron("* * * *")}, "has 4 fields"),
        ({"automation": cron("0 0 * * * *")}, "has 6 fields"),
        ({"automation": cron("0 2 30 2 *")}, "never fires"),
        ({"automation": cron("@every 5m")}, "@every 5m"),
        ({"automation": cron(timezone="Mars/Base")}, "Mars/Base"),
        ({"automation": cron(kickoff="x")}, "'x' of the task is not a datetime"),
        ({"automation": cron(kickoff="never")}, "no input 'never'"),
        ({"automation": rate(4_000_000_000, 3)}, "rate"),
        ({"automation": TriggerAutomationSpec(type=1, schedule=cron().schedule)}, "TYPE_NONE"),
        ({"automation": TriggerAutomationSpec(type=2)}, "TYPE_SCHEDULE"),
        ({"given": Inputs()}, "needs 'x'"),
        ({"automation": cron()}, "needs 'when'"),
        ({"given": inputs(x=1, y=2)}, "no input 'y'"),
    ],
)
async def test_trigger_that_could_not_run_is_refused_and_not_stored(
    api: ApiUnderTest, fields: dict[str, Any], named: str
) -> None:
    await api.tasks.deploy_task(deploy_scheduled())

    code, message = await refusal(api.triggers.deploy_trigger(deploy_trigger(**fields)))

    assert code is Code.INVALID_ARGUMENT
    assert named in message
    assert not await _names(api)


async def test_trigger_of_what_does_not_exist_is_refused(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    queued, foreign = deploy_trigger(), deploy_trigger()
    queued.spec.run_spec.queue = "nowhere"
    foreign.name.project = "elsewhere"

    for request, named in (
        (deploy_trigger(version="v9"), "env.main@v9"),
        (deploy_trigger(task="env.other"), "env.other"),
        (queued, "nowhere"),
        (foreign, "elsewhere"),
    ):
        code, message = await refusal(api.triggers.deploy_trigger(request))
        assert code is Code.NOT_FOUND
        assert named in message


async def test_trigger_in_an_archived_project_is_refused(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    archived = Project(id=PROJECT, name=PROJECT, state=ProjectState.PROJECT_STATE_ARCHIVED)
    await api.projects.update_project(UpdateProjectRequest(project=archived))

    code, message = await refusal(api.triggers.deploy_trigger(deploy_trigger()))

    assert code is Code.FAILED_PRECONDITION
    assert "archived" in message


async def test_kickoff_time_fills_an_optional_datetime(api: ApiUnderTest) -> None:
    request = deploy_scheduled(of_task())
    [when] = [
        each for each in request.spec.task_template.interface.inputs.variables if each.key == "when"
    ]
    for simple in (SimpleType.NONE, SimpleType.DATETIME):
        when.value.type.union_type.variants.add(simple=simple)

    await api.tasks.deploy_task(request)

    assert await _names(api) == ["nightly"]


async def test_kickoff_time_of_a_task_that_would_not_get_it_is_refused(api: ApiUnderTest) -> None:
    request = deploy_scheduled(of_task())
    del request.spec.task_template.container.args[:]

    code, message = await refusal(api.tasks.deploy_task(request))

    assert code is Code.INVALID_ARGUMENT
    assert "{{.runStartTime}}" in message


async def test_large_inline_inputs_are_refused_with_the_limit(api: ApiUnderTest) -> None:
    request = deploy_scheduled(of_task("first"))
    request.spec.task_template.interface.inputs.variables.add(
        key="text"
    ).value.type.simple = SimpleType.STRING
    literal = request.triggers[0].spec.inputs.literals.add(name="text")
    literal.value.scalar.primitive.string_value = "x" * 1024 * 1024

    code, message = await refusal(api.tasks.deploy_task(request))

    assert code is Code.INVALID_ARGUMENT
    assert "1048576" in message


async def test_all_of_205_triggers_are_listed_in_pages_active_ones_first(
    api: ApiUnderTest,
) -> None:
    for task in range(5):
        await api.tasks.deploy_task(
            deploy_scheduled(
                *(of_task(f"t{number}", active=number % 2 == 0) for number in range(41)),
                name=f"env.task{task}",
            )
        )

    found, token = [], ""
    while True:
        page = await api.triggers.list_triggers(
            ListTriggersRequest(
                project_id=project_id(), request=ListRequest(limit=100, token=token)
            )
        )
        found += [
            (each.active, each.id.name.task_name, each.id.name.name) for each in page.triggers
        ]
        token = page.token
        if not token:
            break

    assert len(found) == len(set(found)) == 205
    assert [active for active, _, _ in found] == sorted((a for a, _, _ in found), reverse=True)


async def test_triggers_are_filtered_and_sorted(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled(of_task("a"), of_task("b", active=False)))

    async def listed(**request: Any) -> list[str]:
        found = await api.triggers.list_triggers(
            ListTriggersRequest(org=ORG, request=ListRequest(**request))
        )
        return [each.id.name.name for each in found.triggers]

    inactive = Filter(function=Filter.EQUAL, field="active", values=["false"])
    assert await listed(filters=[inactive]) == ["b"]
    assert await listed(sort_by_fields=[Sort(key="name", direction=Sort.DESCENDING)]) == ["b", "a"]
    code, message = await refusal(
        api.triggers.list_triggers(
            ListTriggersRequest(
                org=ORG,
                request=ListRequest(
                    filters=[Filter(function=Filter.EQUAL, field="color", values=["red"])]
                ),
            )
        )
    )
    assert code is Code.INVALID_ARGUMENT
    assert "task_version" in message


async def test_history_of_an_unknown_trigger_is_not_found(api: ApiUnderTest) -> None:
    for call in (
        api.triggers.get_trigger_revision_history(
            GetTriggerRevisionHistoryRequest(name=trigger_name())
        ),
        api.triggers.get_trigger_revision_details(
            GetTriggerRevisionDetailsRequest(id=trigger_id(2**63))
        ),
        api.triggers.get_trigger_revision_details(
            GetTriggerRevisionDetailsRequest(id=trigger_id(7))
        ),
    ):
        code, _ = await refusal(call)
        assert code in {Code.NOT_FOUND, Code.INVALID_ARGUMENT}


async def test_rate_with_a_start_keeps_it(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy_scheduled())
    start = datetime(2031, 1, 1, tzinfo=UTC)
    automation = rate(5, start=start)
    automation.schedule.kickoff_time_input_arg = "when"

    made = await api.triggers.deploy_trigger(deploy_trigger(automation=automation))

    assert made.trigger.automation_spec == automation
