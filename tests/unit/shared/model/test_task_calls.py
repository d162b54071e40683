"""The table of the calls that a task may make, on messages of flyteidl2."""

import pytest
from flyteidl2.actions.actions_service_pb2 import EnqueueRequest, WatchForUpdatesRequest
from flyteidl2.artifact.artifact_pb2 import ArtifactName
from flyteidl2.artifact.artifact_service_pb2 import (
    CreateArtifactRequest,
    GetArtifactRequest,
    ListArtifactsRequest,
)
from flyteidl2.common.identifier_pb2 import ProjectIdentifier, RunIdentifier
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    CreateDownloadLinkRequest,
    CreateUploadLocationRequest,
)
from flyteidl2.task.task_service_pb2 import DeployTaskRequest
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest
from google.protobuf.message import Message

from shared.model.ids import ActionKey, ActionName, DomainName, ProjectName, RunKey, RunName
from shared.model.task_calls import (
    RULES,
    Rule,
    Scope,
    explain_absence,
    explain_refusal,
    find_refusal,
    list_other_runs,
    refuse_run,
    remedy,
)

RUN = RunKey(ProjectName("p"), DomainName("d"), RunName("r1"))
OWN = ActionKey(RUN, ActionName("a0"))


def rule(name: str) -> Rule:
    return next(each for rpc, each in RULES.items() if rpc.endswith(f"Service/{name}"))


def run_id(name: str = "r1", project: str = "p") -> RunIdentifier:
    return RunIdentifier(project=project, domain="d", name=name)


def enqueue(run: str, parent: str) -> EnqueueRequest:
    request = EnqueueRequest()
    request.action.action_id.run.CopyFrom(run_id(run))
    request.action.parent_action_name = parent
    return request


def watch(parent: str) -> WatchForUpdatesRequest:
    request = WatchForUpdatesRequest()
    request.parent_action_id.run.CopyFrom(run_id())
    request.parent_action_id.name = parent
    return request


def link(task_project: str = "", run: str = "") -> CreateDownloadLinkRequest:
    request = CreateDownloadLinkRequest()
    if run:
        request.action_attempt_id.action_id.run.CopyFrom(run_id(run))
    if task_project:
        request.task_id.project, request.task_id.domain = task_project, "d"
    return request


def deploy(project: str) -> DeployTaskRequest:
    return DeployTaskRequest(task_id={"project": project, "domain": "d"})


def artifact(project: str = "p", source: str = "") -> CreateArtifactRequest:
    request = CreateArtifactRequest()
    request.artifact_id.name.CopyFrom(ArtifactName(project=project, domain="d", name="model"))
    if source:
        request.spec.source.task_action.action.run.CopyFrom(run_id(source))
    return request


def find_artifact(project: str) -> GetArtifactRequest:
    return GetArtifactRequest(name=ArtifactName(project=project, domain="d", name="model"))


def list_artifacts(project: str) -> ListArtifactsRequest:
    return ListArtifactsRequest(project_id=ProjectIdentifier(name=project, domain="d"))


def new_run(project: str = "p", *, named: bool = True, related: str = "") -> CreateRunRequest:
    request = CreateRunRequest()
    if named:
        request.run_id.CopyFrom(run_id("new", project))
    else:
        request.project_id.CopyFrom(ProjectIdentifier(name=project, domain="d"))
    if related:
        request.run_spec.relation.related_to.CopyFrom(run_id(related))
    return request


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Enqueue", enqueue("r1", "a0")),
        ("WatchForUpdates", watch("a0")),
        ("CreateRun", new_run()),
        ("CreateRun", new_run(named=False, related="r1")),
        ("CreateUploadLocation", CreateUploadLocationRequest(project="p", domain="d")),
        ("CreateDownloadLink", link(run="r1")),
        ("CreateDownloadLink", link(task_project="p")),
        ("DeployTask", deploy("p")),
        ("CreateArtifact", artifact()),
        ("CreateArtifact", artifact(source="r1")),
        ("GetArtifact", find_artifact("p")),
        ("ListArtifacts", list_artifacts("p")),
    ],
    ids=[
        "child",
        "watch",
        "run",
        "related run",
        "upload",
        "link to its attempt",
        "link to a task",
        "deployment",
        "artifact",
        "artifact of its run",
        "artifact of its project",
        "artifacts of its project",
    ],
)
def test_calls_about_its_own_run_and_project_are_a_tasks(name: str, message: Message) -> None:
    assert find_refusal(rule(name), message, OWN) == ""
    assert not list_other_runs(rule(name), message, RUN)


@pytest.mark.parametrize(
    ("name", "message", "reason"),
    [
        ("Enqueue", enqueue("r1", "a1"), "p/d/r1/a1 is not its own action, p/d/r1/a0"),
        ("WatchForUpdates", watch("a1"), "p/d/r1/a1 is not its own action, p/d/r1/a0"),
        ("CreateRun", new_run("q"), "q/d is not its own project and domain, p/d"),
        ("CreateRun", new_run("q", named=False), "q/d is not its own project and domain, p/d"),
        ("CreateRun", CreateRunRequest(), "/ is not its own project and domain, p/d"),
        ("CreateDownloadLink", link(), "/ is not its own project and domain, p/d"),
        ("CreateDownloadLink", link("q"), "q/d is not its own project and domain, p/d"),
        ("DeployTask", deploy("q"), "q/d is not its own project and domain, p/d"),
        ("CreateArtifact", artifact("q"), "q/d is not its own project and domain, p/d"),
        ("GetArtifact", find_artifact("q"), "q/d is not its own project and domain, p/d"),
        ("ListArtifacts", list_artifacts("q"), "q/d is not its own project and domain, p/d"),
    ],
    ids=[
        "child of another action",
        "children of another action",
        "named run elsewhere",
        "run elsewhere",
        "run nowhere",
        "link to nothing",
        "link elsewhere",
        "deployment elsewhere",
        "artifact elsewhere",
        "artifact of another project",
        "artifacts of another project",
    ],
)
def test_calls_about_others_are_refused(name: str, message: Message, reason: str) -> None:
    assert find_refusal(rule(name), message, OWN) == reason


def test_runs_of_others_are_listed_so_that_their_lineage_is_looked_up() -> None:
    other = RunKey(RUN.project, RUN.domain, RunName("r2"))
    assert list_other_runs(rule("CreateRun"), new_run(related="r2"), RUN) == [other]
    assert list_other_runs(rule("Enqueue"), enqueue("r2", "a0"), RUN) == [other]
    assert list_other_runs(rule("CreateArtifact"), artifact(source="r2"), RUN) == [other]
    assert find_refusal(rule("Enqueue"), enqueue("r2", "a0"), OWN) == ""
    assert list_other_runs(rule("CreateDownloadLink"), link(run="r2"), RUN) == [other]
    assert refuse_run(other, RUN) == "p/d/r2 is neither its own run, p/d/r1, nor started by it"


def test_refusals_say_what_to_do_instead() -> None:
    assert "call it from outside" in explain_refusal("s.S/M", "it is another's")
    assert explain_absence("flyteidl2.settings.SettingsService/UpdateSettings").endswith(
        "change settings from outside"
    )
    assert remedy("x.Y/Z") == "call it from outside, with credentials of your own"


def test_tasks_of_others_may_be_read_if_the_control_plane_lets_them() -> None:
    assert rule("GetTaskDetails").scope is Scope.ANY
    assert find_refusal(rule("GetTaskDetails"), Message(), OWN) == ""
    assert not list_other_runs(rule("GetTaskDetails"), Message(), RUN)
