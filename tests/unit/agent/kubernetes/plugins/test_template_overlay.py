"""How a role's own pod template is laid over the task's pod."""

from typing import Any

import pytest
from flyteidl2.core import tasks_pb2
from google.protobuf import json_format

from dataplane.agent.runtimes.kubernetes.plugins.specs import lay_over
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.plugins.jobs import load_template

TASK = load_template("dask")  # a container with an image, arguments and a variable


def _lay(spec: dict[str, Any], primary: str = "") -> tuple[tasks_pb2.K8sPod, dict[str, Any]]:
    above = tasks_pb2.K8sPod(primary_container_name=primary)
    above.pod_spec.update(spec)
    laid = lay_over(TASK, above, "ray-worker")
    return laid, json_format.MessageToDict(laid.pod_spec)


@pytest.mark.parametrize(
    ("names", "primary"),
    [
        (["side", "mine"], "mine"),
        (["side", "ray-worker"], ""),
        (["side", "primary"], ""),
        (["whatever"], ""),
    ],
)
def test_primary_container_gets_the_tasks_fields(names: list[str], primary: str) -> None:
    containers = [{"name": name, "workingDir": f"/{name}"} for name in names]
    laid, spec = _lay({"containers": containers}, primary)
    assert laid.primary_container_name == "primary"
    main = next(each for each in spec["containers"] if each["name"] == "primary")
    assert main["workingDir"] == f"/{names[-1]}"
    assert main["image"] == "registry.example/team/training:1"
    assert {each["name"] for each in spec["containers"]} == {"primary", *names[:-1]}


def test_template_without_container_adds_to_the_tasks_pod() -> None:
    _, spec = _lay({"hostNetwork": True})
    (main,) = spec["containers"]
    assert (spec["hostNetwork"], main["name"]) == (True, "primary")
    assert {"name": "COLOUR", "value": "blue"} in main["env"]


def test_template_containers_besides_the_primary_are_kept() -> None:
    _, spec = _lay({"containers": [{"name": "one"}, {"name": "other"}]})
    assert [each["name"] for each in spec["containers"]] == ["primary", "one", "other"]


@pytest.mark.parametrize("containers", ["nonsense", ["one"], {"name": "one"}])
def test_nonsense_is_refused(containers: object) -> None:
    with pytest.raises(BadSpecError, match="ray-worker"):
        _lay({"containers": containers})
