"""
Deployed tasks and projects through the served API.
"""

from typing import Any

from connectrpc.code import Code
from flyteidl2.common.list_pb2 import Filter, ListRequest, Sort
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.project.project_service_pb2 import (
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsRequest,
    Project,
    ProjectState,
    UpdateProjectRequest,
)
from flyteidl2.task.task_definition_pb2 import TaskName
from flyteidl2.task.task_service_pb2 import (
    GetTaskDetailsRequest,
    ListTasksRequest,
    ListVersionsRequest,
)
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest
from sqlalchemy import text

from controlplane.store.resources import tasks as tasks_store
from shared.model.ids import OrgName
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, deploy, project_id, refusal, run_id, task_id
from tests.integration.api.tracked_requests import create_tracked
from tests.integration.store.examined import examined_rows


async def test_a_deployed_task_is_found_with_its_spec(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy(retries=2))

    found = (await api.tasks.get_task_details(GetTaskDetailsRequest(task_id=task_id()))).details

    assert found.task_id.org == ORG
    assert found.spec.task_template.metadata.retries.retries == 2
    assert found.metadata.environment_name == "env"
    assert found.metadata.deployed_by.user.id.subject == "anonymous"


async def test_deploy_is_idempotent_and_another_spec_keeps_the_first(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy(retries=1))
    await api.tasks.deploy_task(deploy(retries=1))

    code, message = await refusal(api.tasks.deploy_task(deploy(retries=2)))

    assert code is Code.ALREADY_EXISTS
    assert "new version" in message
    kept = await api.tasks.get_task_details(GetTaskDetailsRequest(task_id=task_id()))
    assert kept.details.spec.task_template.metadata.retries.retries == 1


async def test_an_unknown_task_is_not_found(api: ApiUnderTest) -> None:
    code, message = await refusal(
        api.tasks.get_task_details(GetTaskDetailsRequest(task_id=task_id("env.nobody")))
    )

    assert code is Code.NOT_FOUND
    assert "env.nobody" in message


async def test_the_latest_version_of_each_task_is_listed(api: ApiUnderTest) -> None:
    for name, version in (("env.a", "v1"), ("env.a", "v2"), ("env.b", "v1")):
        await api.tasks.deploy_task(deploy(name, version))

    async def listed(**request: Any) -> list[tuple[str, str]]:
        found = await api.tasks.list_tasks(
            ListTasksRequest(project_id=project_id(), request=ListRequest(**request))
        )
        return [(task.task_id.name, task.task_id.version) for task in found.tasks]

    oldest = Sort(key="created_at", direction=Sort.ASCENDING)
    by_env = Filter(function=Filter.CONTAINS, field="name", values=["env."])
    by_name = Filter(function=Filter.EQUAL, field="name", values=["env.a"])
    assert await listed(filters=[by_env], sort_by=oldest) == [("env.a", "v2"), ("env.b", "v1")]
    assert await listed(filters=[by_name], limit=1) == [("env.a", "v2")]
    assert await listed(limit=1) == [("env.b", "v1")]
    versions = await api.tasks.list_versions(
        ListVersionsRequest(task_name=TaskName(project=PROJECT, domain=DOMAIN, name="env.a"))
    )
    assert [each.version for each in versions.versions] == ["v2", "v1"]


async def test_entrypoints_are_listed_apart(api: ApiUnderTest) -> None:
    for name in ("env.a", "env.b"):
        request = deploy(name)
        request.spec.task_template.metadata.is_entrypoint = name == "env.b"
        await api.tasks.deploy_task(request)

    found = await api.tasks.list_tasks(
        ListTasksRequest(
            project_id=project_id(),
            known_filters=[ListTasksRequest.KnownFilter(is_entrypoint=True)],
        )
    )

    assert [task.task_id.name for task in found.tasks] == ["env.b"]


async def test_a_project_is_made_found_changed_and_archived(api: ApiUnderTest) -> None:
    project = Project(id="vision", name="Computer vision")
    await api.projects.create_project(CreateProjectRequest(project=project))
    found = (await api.projects.get_project(GetProjectRequest(id="vision"))).project
    assert [domain.id for domain in found.domains] == ["development", "staging", "production"]

    # As the SDK does it: read, clear the domains, change, send.
    del found.domains[:]
    found.state = ProjectState.PROJECT_STATE_ARCHIVED
    await api.projects.update_project(UpdateProjectRequest(project=found))

    async def ids(filters: str = "") -> list[str]:
        listed = await api.projects.list_projects(ListProjectsRequest(filters=filters))
        return [each.id for each in listed.projects.projects]

    assert await ids() == [PROJECT]
    assert await ids("eq(state, 1)") == ["vision"]
    assert await ids("value_in(state,0;1)+contains(name,vis)") == ["vision"]
    run = create_run()
    run.run_id.project = "vision"
    code, _ = await refusal(api.runs.create_run(run))
    assert code is Code.FAILED_PRECONDITION


async def test_a_project_that_exists_is_not_made_again(api: ApiUnderTest) -> None:
    code, _ = await refusal(
        api.projects.create_project(CreateProjectRequest(project=Project(id=PROJECT)))
    )
    assert code is Code.ALREADY_EXISTS


async def test_an_unknown_project_is_not_found(api: ApiUnderTest) -> None:
    for call in (
        api.projects.get_project(GetProjectRequest(id="nowhere")),
        api.projects.update_project(UpdateProjectRequest(project=Project(id="nowhere"))),
    ):
        code, _ = await refusal(call)
        assert code is Code.NOT_FOUND


async def test_a_project_of_a_bad_name_is_refused(api: ApiUnderTest) -> None:
    for name in ("", "Vision", "a_b", "-a", "a-", "a" * 64, "a/b", "uploads"):
        code, message = await refusal(
            api.projects.create_project(CreateProjectRequest(project=Project(id=name)))
        )
        assert code is Code.INVALID_ARGUMENT, name
        assert "project" in message


async def test_list_of_tasks_has_totals_and_the_latest_run_of_each(api: ApiUnderTest) -> None:
    for name, version in (("env.main", "v1"), ("env.main", "v2"), ("env.other", "v1")):
        await api.tasks.deploy_task(deploy(name, version))
    for run in ("first", "second"):
        await api.runs.create_run(create_run(run))
    await api.tracked.create_run(create_tracked())
    await api.finish()
    await api.runs.create_run(create_run("third"))

    found = await api.tasks.list_tasks(ListTasksRequest(project_id=project_id()))
    narrowed = await api.tasks.list_tasks(
        ListTasksRequest(
            project_id=project_id(),
            request=ListRequest(
                limit=1,
                filters=[Filter(function=Filter.CONTAINS, field="name", values=["other"])],
            ),
        )
    )

    latest = {task.task_id.name: task.task_summary.latest_run for task in found.tasks}
    assert latest["env.main"].run_id.name == "third"
    assert latest["env.main"].phase == ActionPhase.ACTION_PHASE_QUEUED
    assert latest["env.main"].root_task_name == "env.main"
    assert latest["env.main"].HasField("run_time")
    assert not latest["env.other"].run_id.name
    assert (found.metadata.total, found.metadata.filtered_total) == (2, 2)
    assert (narrowed.metadata.total, narrowed.metadata.filtered_total) == (2, 1)


async def test_versions_of_a_task_show_the_latest_run_of_each(api: ApiUnderTest) -> None:
    for version in ("v1", "v2", "v3"):
        await api.tasks.deploy_task(deploy(version=version))
    for run, version in (("first", "v1"), ("second", "v1"), ("third", "v2")):
        await api.runs.create_run(
            CreateRunRequest(run_id=run_id(run), task_id=task_id(version=version))
        )
    await api.finish()
    await api.runs.create_run(CreateRunRequest(run_id=run_id("fourth"), task_id=task_id()))

    name = TaskName(project=PROJECT, domain=DOMAIN, name="env.main")
    listed = await api.tasks.list_versions(ListVersionsRequest(task_name=name))
    latest = {each.version: each.latest_run for each in listed.versions}
    assert {version: run.run_id.name for version, run in latest.items()} == {
        "v1": "fourth",
        "v2": "third",
        "v3": "",
    }
    assert latest["v1"].phase == ActionPhase.ACTION_PHASE_QUEUED
    assert latest["v2"].phase == ActionPhase.ACTION_PHASE_SUCCEEDED
    assert latest["v2"].root_task_name == "env.main"


async def test_latest_runs_of_versions_are_looked_for_among_a_number_of_runs(
    api: ApiUnderTest,
) -> None:
    await api.tasks.deploy_task(deploy())
    await api.runs.create_run(CreateRunRequest(run_id=run_id(), task_id=task_id()))
    async with api.database.for_org(OrgName(ORG)) as tx:
        await tx.execute(text(_MANY_RUNS))
        values = {"project": PROJECT, "domain": DOMAIN, "task_name": "env.main"}
        rows = await examined_rows(
            tx.connection, tasks_store._LATEST_OF_VERSIONS, {"org": ORG, **values}
        )
    assert rows < 8 * tasks_store.RUNS_OF_VERSIONS


_MANY_RUNS = """
WITH made AS (
    INSERT INTO runs (org, run_id, project, domain, run, change, run_spec, run_base, created_at,
                      started_at, root_task)
    SELECT org, md5(n::text)::uuid, project, domain, 'many' || n, 1, run_spec, run_base,
           created_at + n * interval '1 second', started_at, root_task
    FROM runs, generate_series(1, 5000) n
    RETURNING org, run_id, run_spec, created_at
)
INSERT INTO actions (org, id, run_id, name, type, spec, input_uri, phase, change, created_at,
                     updated_at, task_version)
SELECT org, run_id, run_id, 'a0', 1, run_spec, '', 5, 1, created_at, created_at, 'v1' FROM made
"""
