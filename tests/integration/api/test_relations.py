"""Relations of runs through the API: reruns, what a client may ask for, what is shown and listed."""

from collections.abc import Callable

import pytest
from connectrpc.code import Code
from flyteidl2.common.list_pb2 import Filter, ListRequest
from flyteidl2.common.run_pb2 import RelationType
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.workflow.run_service_pb2 import (
    CreateRunRequest,
    GetRunDetailsRequest,
    ListRunsRequest,
)

from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind
from tests.integration.api.client import ORG, ApiUnderTest
from tests.integration.api.requests import (
    create_run,
    project_id,
    refusal,
    run_id,
)

RERUN = RelationType.RELATION_TYPE_RERUN
RECOVER = RelationType.RELATION_TYPE_RECOVER
FAILURE = Failure(code="Broken", kind=FailureKind.USER, message="broken", recoverable=False)


def related(
    name: str, to: str, kind: RelationType.ValueType, *forced: str, org: str = ORG
) -> CreateRunRequest:
    request = create_run(name)
    relation = request.run_spec.relation
    relation.relation_type = kind
    relation.related_to.CopyFrom(run_id(to))
    relation.related_to.org = org
    if forced:
        request.run_spec.recover.force_rerun_actions.extend(forced)
    return request


async def read_spec(api: ApiUnderTest, name: str) -> RunSpec:
    found = await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id(name)))
    spec: RunSpec = found.details.run_spec
    return spec


@pytest.mark.parametrize("org", [ORG, "", "other"])
async def test_rerun_shows_the_run_of_the_callers_org_that_it_repeats(
    api: ApiUnderTest, org: str
) -> None:
    await api.runs.create_run(create_run("r1"))

    await api.runs.create_run(related("r2", "r1", RERUN, org=org))

    details = (await api.runs.get_run_details(GetRunDetailsRequest(run_id=run_id("r2")))).details
    assert details.action.metadata.relation == details.run_spec.relation
    relation = details.run_spec.relation
    assert (relation.relation_type, relation.related_to.name) == (RERUN, "r1")
    assert relation.related_to.org == ORG


async def test_deprecated_related_to_alone_means_a_rerun(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("r1"))
    request = create_run("r2")
    request.run_spec.related_to.CopyFrom(run_id("r1"))

    await api.runs.create_run(request)

    spec = await read_spec(api, "r2")
    assert spec.relation.relation_type == RERUN
    assert spec.relation.related_to.name == "r1"
    assert not spec.HasField("related_to")


async def test_rerun_keeps_nothing_that_the_control_plane_set_for_the_other_run(
    api: ApiUnderTest,
) -> None:
    await api.runs.create_run(create_run("r1"))
    request = related("r2", "r1", RERUN)
    request.run_spec.cluster_pool = "copied"

    await api.runs.create_run(request)

    assert (await read_spec(api, "r2")).cluster_pool == ""


def _recover_of_a_rerun(request: CreateRunRequest) -> None:
    request.run_spec.relation.relation_type = RERUN
    request.run_spec.recover.force_rerun_actions.append("a")


def _recover_without_a_relation(request: CreateRunRequest) -> None:
    request.run_spec.ClearField("relation")
    request.run_spec.recover.SetInParent()


def _another_project(request: CreateRunRequest) -> None:
    request.run_spec.relation.related_to.project = "other"


def _another_domain(request: CreateRunRequest) -> None:
    request.run_spec.relation.related_to.domain = "production"


def _triggered(request: CreateRunRequest) -> None:
    request.run_spec.relation.relation_type = RelationType.RELATION_TYPE_TRIGGERED


def _on_artifact(request: CreateRunRequest) -> None:
    request.run_spec.relation.relation_type = RelationType.RELATION_TYPE_ON_ARTIFACT


def _no_type(request: CreateRunRequest) -> None:
    request.run_spec.relation.ClearField("relation_type")


def _two_runs(request: CreateRunRequest) -> None:
    request.run_spec.related_to.CopyFrom(run_id("another"))


def _too_many_forced(request: CreateRunRequest) -> None:
    request.run_spec.recover.force_rerun_actions.extend(f"a{n}" for n in range(1_001))


def _bad_name(request: CreateRunRequest) -> None:
    request.run_spec.recover.force_rerun_actions.append("no such/name")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_recover_of_a_rerun, "run_spec.recover: needs a run_spec.relation of type RECOVER"),
        (_recover_without_a_relation, "run_spec.recover: needs a run_spec.relation"),
        (_another_project, "is not in flytesnacks/development"),
        (_another_domain, "is not in flytesnacks/development"),
        (_triggered, "must be RERUN, RECOVER or SPAWN"),
        (_on_artifact, "must be RERUN, RECOVER or SPAWN"),
        (_no_type, "run_spec.relation.relation_type: value is required"),
        (_two_runs, "name different runs"),
        (_too_many_forced, "at most 1000, not 1001"),
        (_bad_name, "no such/name"),
    ],
)
async def test_relation_that_cannot_be_is_refused_with_its_field(
    api: ApiUnderTest, change: Callable[[CreateRunRequest], None], words: str
) -> None:
    await api.runs.create_run(create_run("r1"))
    await api.finish()
    request = related("r2", "r1", RECOVER)
    change(request)

    code, message = await refusal(api.runs.create_run(request))

    assert code is Code.INVALID_ARGUMENT
    assert words in message


@pytest.mark.parametrize("kind", [RERUN, RECOVER])
async def test_rerun_and_recovery_of_an_unknown_run_are_refused(
    api: ApiUnderTest, kind: RelationType.ValueType
) -> None:
    code, message = await refusal(api.runs.create_run(related("r2", "purged", kind)))

    assert code is Code.NOT_FOUND
    assert "purged" in message


async def test_recovery_of_a_live_run_is_refused_with_what_to_do(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("r1"))

    code, message = await refusal(api.runs.create_run(related("r2", "r1", RECOVER)))

    assert code is Code.FAILED_PRECONDITION
    assert "r1 has not ended (QUEUED)" in message
    assert "flyte abort run r1" in message


async def test_unknown_names_of_actions_to_run_again_are_refused(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("r1"))
    await api.finish(Phase.FAILED, FAILURE)

    code, message = await refusal(api.runs.create_run(related("r2", "r1", RECOVER, "a0", "typo")))

    assert code is Code.INVALID_ARGUMENT
    assert "has no actions typo;" in message


async def test_runs_are_listed_by_what_they_were_made_from(api: ApiUnderTest) -> None:
    await api.runs.create_run(create_run("r1"))
    await api.finish(Phase.FAILED, FAILURE)
    await api.runs.create_run(related("again", "r1", RERUN))
    await api.runs.create_run(related("recovered", "r1", RECOVER))
    await api.runs.create_run(related("later", "again", RERUN))

    async def names(**wanted: str) -> set[str]:
        filters = [
            Filter(field=field, function=Filter.Function.EQUAL, values=[value])
            for field, value in wanted.items()
        ]
        found = await api.runs.list_runs(
            ListRunsRequest(project_id=project_id(), request=ListRequest(limit=10, filters=filters))
        )
        return {run.action.id.run.name for run in found.runs}

    assert await names(related_to="r1") == {"again", "recovered"}
    assert await names(related_to="r1", relation_type="RECOVER") == {"recovered"}
    assert await names(relation_type="RELATION_TYPE_RERUN") == {"again", "later"}
