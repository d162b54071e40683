"""Identities of deployers, of those who run and abort, and of callers, as flyteidl2 shows them."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flyteidl2.auth.identity_pb2 import UserInfoRequest
from flyteidl2.common.identity_pb2 import EnrichedIdentity
from flyteidl2.task.task_definition_pb2 import TaskName
from flyteidl2.task.task_service_pb2 import (
    GetTaskDetailsRequest,
    ListTasksRequest,
    ListVersionsRequest,
)
from flyteidl2.trigger import trigger_service_pb2 as trigger_pb
from flyteidl2.workflow import run_service_pb2 as run_pb
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest
from google.protobuf import json_format
from sqlalchemy import text

from controlplane.core.callers import EVERYTHING, Caller, Subject, org_wide
from controlplane.core.identity import User, UserId
from controlplane.store.identity.accounts import create_account
from controlplane.store.identity.members import add_member
from controlplane.usecases.people import People
from shared.kit.clock import SystemClock
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest, open_api
from tests.integration.api.requests import (
    action_id,
    create_run,
    deploy,
    project_id,
    run_id,
    task_id,
)
from tests.integration.api.triggers import plain_trigger
from tests.integration.store.examined import counting_statements

ADA, ROBOT = UUID(int=1), UUID(int=2)
USER, ACCOUNT = Subject(f"user:{ADA}"), Subject(f"serviceaccount:{ROBOT}")


class Chosen:
    """Authenticates every call as the subject that the test has chosen."""

    def __init__(self) -> None:
        self.subject = USER

    async def authenticate(self, _headers: Mapping[str, str], _peer: str | None) -> Caller:
        return Caller(
            subject=self.subject,
            org=ORG,
            name="Ada Lovelace",
            email="ada@acme.example",
            grants=org_wide(EVERYTHING),
        )


@pytest.fixture
def chosen() -> Chosen:
    return Chosen()


@pytest.fixture
async def api(database_url: str, tmp_path: Path, chosen: Chosen) -> AsyncIterator[ApiUnderTest]:
    """An API with a member and a service account, each of whom has deployed a version."""
    async with open_api(database_url, tmp_path / "blobs", authn=chosen) as api:
        now = SystemClock().now()
        ada = User(
            id=UserId(ADA), email="ada@acme.example", email_verified=True, name="Ada Lovelace"
        )
        async with api.database.for_org(ORG) as tx:
            assert await add_member(tx, ada, "viewer", source="invitation", now=now)
            await create_account(tx, ROBOT, "robot", "", by=USER, now=now)
        for subject, version in ((USER, "v1"), (ACCOUNT, "v2")):
            chosen.subject = subject
            await api.tasks.deploy_task(deploy(version=version))
        yield api


async def deployers(api: ApiUnderTest) -> list[EnrichedIdentity]:
    """Return who has deployed v1 and v2, as every RPC that says so agrees."""
    name = TaskName(project=PROJECT, domain=DOMAIN, name="env.main")
    listed = await api.tasks.list_versions(ListVersionsRequest(task_name=name))
    by_version = {each.version: each.deployed_by for each in listed.versions}
    for version, identity in by_version.items():
        request = GetTaskDetailsRequest(task_id=task_id(version=version))
        details = (await api.tasks.get_task_details(request)).details
        assert details.metadata.deployed_by == identity
    [latest] = (await api.tasks.list_tasks(ListTasksRequest(org=ORG))).tasks
    assert latest.metadata.deployed_by == by_version[latest.task_id.version]
    return [by_version["v1"], by_version["v2"]]


async def test_task_shows_the_person_or_service_account_that_deployed_it(
    api: ApiUnderTest,
) -> None:
    person, program = await deployers(api)

    assert person.user.id.subject == USER
    assert (person.user.spec.first_name, person.user.spec.email) == (
        "Ada Lovelace",
        "ada@acme.example",
    )
    assert program.application.id.subject == ACCOUNT
    assert program.application.spec.name == "robot"


async def test_deployer_who_has_left_the_org_is_shown_by_subject_only(api: ApiUnderTest) -> None:
    async with api.database.for_org(ORG) as tx:
        await tx.connection.execute(text("DELETE FROM members"))

    person, _ = await deployers(api)

    assert person.user.id.subject == USER
    assert not person.user.HasField("spec")


async def test_run_of_a_service_account_is_shown_as_an_applications(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    chosen.subject = ACCOUNT
    await api.runs.create_run(create_run())

    details = (await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id()))).details

    executor = details.action.metadata.executed_by
    assert executor.WhichOneof("principal") == "application"
    assert executor.application.id.subject == ACCOUNT


async def test_trigger_shows_the_names_of_those_who_deployed_and_changed_it(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    chosen.subject = USER
    deployed = await api.triggers.deploy_trigger(plain_trigger())
    name = deployed.trigger.id.name
    chosen.subject = ACCOUNT
    for active in (True, False):
        request = trigger_pb.UpdateTriggersRequest(names=[name], active=active)
        await api.triggers.update_triggers(request)

    got = await api.triggers.get_trigger_details(trigger_pb.GetTriggerDetailsRequest(name=name))
    listed = await api.triggers.list_triggers(
        trigger_pb.ListTriggersRequest(project_id=project_id())
    )
    history = await api.triggers.get_trigger_revision_history(
        trigger_pb.GetTriggerRevisionHistoryRequest(name=name)
    )

    shown = [got.trigger.metadata, listed.triggers[0].metadata, history.triggers[0].metadata]
    for metadata in [deployed.trigger.metadata, *shown]:
        assert metadata.deployed_by.user.spec.first_name == "Ada Lovelace"
    assert {each.updated_by.application.spec.name for each in shown} == {"robot"}


async def test_caller_sees_subject_name_address_and_org(api: ApiUnderTest, chosen: Chosen) -> None:
    chosen.subject = USER

    info = await api.identity.user_info(UserInfoRequest())

    assert (info.subject, info.name, info.email) == (USER, "Ada Lovelace", "ada@acme.example")
    assert info.preferred_username == "ada@acme.example"
    assert json_format.MessageToDict(info.additional_claims) == {"org": ORG}


async def test_runs_and_actions_show_the_names_of_people_wherever_they_are_read(
    api: ApiUnderTest, chosen: Chosen
) -> None:
    chosen.subject = USER
    created = (await api.runs.create_run(create_run())).run
    chosen.subject = ACCOUNT
    await api.runs.abort_run(run_pb.AbortRunRequest(run_id=run_id(), reason="enough"))

    action, run, project = action_id(), run_id(), project_id()
    listed = await api.runs.list_runs(run_pb.ListRunsRequest(project_id=project))
    actions = await api.runs.list_actions(run_pb.ListActionsRequest(run_id=run))
    of_run = await api.runs.get_run_details(GetRunDetailsRequest(run_id=run))
    of_action = await api.runs.get_action_details(run_pb.GetActionDetailsRequest(action_id=action))
    watched_run = await first(api.runs.watch_run_details(run_pb.WatchRunDetailsRequest(run_id=run)))
    watched_action = await first(
        api.runs.watch_action_details(run_pb.WatchActionDetailsRequest(action_id=action))
    )
    watched_actions = await first(api.runs.watch_actions(run_pb.WatchActionsRequest(run_id=run)))
    watched_runs = await first(api.runs.watch_runs(run_pb.WatchRunsRequest(project_id=project)))
    groups = await first(
        api.runs.watch_groups(
            run_pb.WatchGroupsRequest(project_id=project, start_date={"seconds": 1})
        )
    )

    shown = [
        created.action.metadata,
        listed.runs[0].action.metadata,
        actions.actions[0].metadata,
        of_run.details.action.metadata,
        of_action.details.metadata,
        watched_run.details.action.metadata,
        watched_action.details.metadata,
        watched_actions.enriched_actions[0].action.metadata,
        watched_runs.runs[0].action.metadata,
    ]
    people = [each.executed_by for each in shown] + list(groups.task_groups[0].created_by)
    assert {each.user.spec.first_name for each in people} == {"Ada Lovelace"}
    for details in (of_run.details.action, of_action.details, watched_run.details.action):
        assert details.abort_info.aborted_by.application.spec.name == "robot"


async def test_names_are_read_once_for_the_watches_of_a_minute(api: ApiUnderTest) -> None:
    people = People(api.database, SystemClock())
    with counting_statements(api.database) as statements:
        found = [await people.find(ORG, [USER, ACCOUNT, "anonymous"]) for _ in range(3)]

    assert [sorted(each.name for each in one.values()) for one in found] == [
        ["Ada Lovelace", "robot"]
    ] * 3
    assert len([each for each in statements if "members" in each]) == 1


async def first(answers: AsyncIterator[Any]) -> Any:
    return await anext(answers)
