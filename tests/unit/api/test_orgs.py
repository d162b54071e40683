"""The caller's org is written over every org of a request, and nowhere else."""

from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
from flyteidl2.app.app_payload_pb2 import ListRequest
from flyteidl2.cluster.payload_pb2 import SelectClusterRequest
from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.trigger.trigger_service_pb2 import UpdateTriggersRequest
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, ListRunsRequest

from controlplane.api.orgs import fill_org


def test_orgs_are_written_at_every_depth() -> None:
    request = EnqueueRequest()
    request.action.action_id.run.name = "r1"
    request.action.task.id.org = "forged"
    request.action.task.spec.task_template.id.name = "env.main"

    fill_org(request, "acme")

    assert request.action.action_id.run.org == "acme"
    assert request.action.task.id.org == "acme"
    assert request.action.task.spec.task_template.id.org == "acme"
    assert not request.action.HasField("trace")


def test_org_in_a_oneof_is_not_filled_in() -> None:
    by_project = ListRunsRequest()
    by_project.project_id.name = "p"
    by_org = ListRunsRequest(org="")
    undecided = ListRunsRequest()

    for request in (by_project, by_org, undecided):
        fill_org(request, "acme")

    assert by_project.WhichOneof("scope_by") == "project_id"
    assert by_project.project_id.organization == "acme"
    assert by_org.org == "acme"
    assert undecided.WhichOneof("scope_by") is None


def test_plain_orgs_are_written_even_where_none_was_sent() -> None:
    request = CreateUploadLocationRequest()
    fill_org(request, "acme")
    assert request.org == "acme"


def test_org_identifier_is_overwritten() -> None:
    request = SelectClusterRequest()
    request.org_id.name = "127"
    fill_org(request, "acme")
    assert request.org_id.name == "acme"


def test_orgs_in_lists_are_written() -> None:
    request = UpdateTriggersRequest()
    request.names.add(name="nightly")
    fill_org(request, "acme")
    assert [name.org for name in request.names] == ["acme"]


def test_orgs_in_user_data_are_not_overwritten() -> None:
    request = CreateRunRequest()
    literal = request.inputs.literals.add(name="x").value
    literal.artifact_id.key.org = "theirs"
    literal.scalar.generic["org"] = "theirs"

    fill_org(request, "acme")

    assert literal.artifact_id.key.org == "theirs"
    assert literal.scalar.generic["org"] == "theirs"


def test_specs_of_different_senders_are_equal_after_orgs_are_filled() -> None:
    sent = [TaskSpec(short_name="main"), TaskSpec(short_name="main")]
    sent[0].task_template.id.org = "127"
    sent[1].task_template.id.org = "localhost"

    for spec in sent:
        fill_org(spec, "acme")

    assert sent[0] == sent[1]


def test_request_without_org_fields_is_unchanged() -> None:
    request = ListRequest()
    fill_org(request, "acme")
    assert request == ListRequest()
