"""The table of what a task may call, against all that flyteidl2 has."""

from pathlib import Path

import pytest

from dataplane.agent.kube.objects import annotate_attempt
from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.callers import identify
from dataplane.agent.proxy.errors import PodCallRefusedError
from dataplane.agent.proxy.request_parsing import ParsedRequest, authorize
from dataplane.agent.proxy.rules import RPCS
from dataplane.agent.proxy.run_lineage import RunLineage
from shared.model.task_calls import Scope, remedy
from tests.unit.agent.assignments import make_assignment

_PAGE = Path(__file__).parents[4] / "docs" / "proxy.md"
_OF_OTHERS = [
    "flyteidl2.actions.ActionsService/Update",
    "flyteidl2.app.AppService/Create",
    "flyteidl2.project.ProjectService/CreateProject",
    "flyteidl2.project.ProjectService/UpdateProject",
    "flyteidl2.secret.SecretService/GetSecret",
    "flyteidl2.settings.SettingsService/UpdateSettings",
    "flyteidl2.trigger.TriggerService/DeployTrigger",
    "flyteidl2.workflow.InternalRunService/RecordAction",
    "flyteidl2.workflow.QueueService/AbortQueuedRun",
    "flyteidl2.workflow.RunService/ListRuns",
    "flyteidl2.workflow.RunService/WatchRuns",
    "flyteidl2.workflow.StateService/Put",
]


class _NoLineage(RunLineage):
    """Knows of no run that another has started."""

    def __init__(self) -> None:
        pass

    async def descends(self, run: object, caller: object) -> bool:
        del run, caller
        return False


@pytest.mark.parametrize("name", sorted(RPCS))
async def test_request_without_identifiers_is_refused(name: str) -> None:
    """So a rule that reads the wrong field authorizes no caller."""
    rpc = RPCS[name]
    pod = {
        "metadata": {
            "namespace": "n",
            "name": "p",
            "uid": "u",
            "annotations": annotate_attempt(make_assignment()),
        }
    }
    question = ParsedRequest(rpc, rpc.request())
    if rpc.rule.scope in {Scope.ANY, Scope.LOCAL}:
        await authorize(question, identify(pod), _NoLineage())
        return
    with pytest.raises(PodCallRefusedError):
        await authorize(question, identify(pod), _NoLineage())


@pytest.mark.parametrize("name", _OF_OTHERS)
def test_rpcs_not_for_tasks_are_not_in_the_table(name: str) -> None:
    assert name not in RPCS
    assert remedy(name)


def test_streaming_rpcs_match_flyteidl2() -> None:
    streams = {name.rpartition("/")[2] for name, rpc in RPCS.items() if rpc.is_stream}
    assert streams == {
        "TailLogs",
        "Watch",
        "WatchActionDetails",
        "WatchActions",
        "WatchClusterEvents",
        "WatchForUpdates",
        "WatchRunDetails",
    }


def test_docs_name_every_service_and_method() -> None:
    page = _PAGE.read_text()
    families = ("Abort", "Get", "Watch")
    for name in RPCS:
        service, _, method = name.rpartition("/")
        assert f"`{service.rpartition('.')[2]}`" in page, service
        if RPCS[name].rule.scope is not Scope.LOCAL and not method.startswith(families):
            assert method in page, name


def test_docs_name_the_limits() -> None:
    page = _PAGE.read_text()
    assert f"{proxy_limits.STREAMS_OF_POD} streams" in page
    assert f"{proxy_limits.WAITING_OF_POD} waiting calls" in page
    assert f"{proxy_limits.REQUEST_BYTES // 2**20} MiB at once" in page
    assert f"above {proxy_limits.WHOLE_BYTES // 2**20} MiB" in page
