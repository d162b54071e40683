"""The caller that a pod's annotations name, and the namespaces in which it may run."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from dataplane.agent.kube.objects import ATTEMPT_LABEL, LEASE_ANNOTATION, annotate_attempt
from dataplane.agent.proxy.callers import identify, require_own_namespace
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from tests.unit.agent.assignments import make_assignment

ASSIGNMENT = make_assignment()
RUN = ASSIGNMENT.key.run


def pod(namespace: str = "n", changed: Mapping[str, str] | None = None) -> dict[str, Any]:
    annotations = {**annotate_attempt(ASSIGNMENT), **(changed or {})}
    return {
        "metadata": {"namespace": namespace, "name": "p", "uid": "u", "annotations": annotations},
    }


def test_attempt_and_lease_are_read_from_the_annotations() -> None:
    caller = identify(pod())
    assert (caller.attempt, caller.lease) == (ASSIGNMENT.attempt, ASSIGNMENT.lease)
    assert isinstance(caller.lease, UUID)


def test_pod_of_an_earlier_release_has_no_lease() -> None:
    older = pod()
    del older["metadata"]["annotations"][LEASE_ANNOTATION]
    assert identify(older).lease is None


@pytest.mark.parametrize(
    "annotation",
    [{LEASE_ANNOTATION: "x"}, {ATTEMPT_LABEL: "x"}, {ATTEMPT_LABEL: f"{UUID(int=1)}-x"}],
)
def test_malformed_annotation_is_refused(annotation: dict[str, str]) -> None:
    with pytest.raises(PodCallRefusedError, match="malformed") as refused:
        identify(pod(changed=annotation))
    assert refused.value.code is Code.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("template", "namespace"),
    [
        ("{project}-{domain}", f"{RUN.project}-{RUN.domain}"),
        ("{org}-{project}", f"{ASSIGNMENT.org}-{RUN.project}"),
        ("tasks", "tasks"),
    ],
)
def test_pod_in_the_namespace_of_its_project_is_a_caller(template: str, namespace: str) -> None:
    require_own_namespace(identify(pod(namespace)), template)


@pytest.mark.parametrize(
    ("template", "namespace"),
    [
        ("{project}-{domain}", f"other-{RUN.domain}"),
        ("{project}-{domain}", f"{RUN.project}-production"),
        ("{org}-{project}", f"other-{RUN.project}"),
        ("tasks", "elsewhere"),
    ],
)
def test_pod_of_another_projects_namespace_is_refused(template: str, namespace: str) -> None:
    with pytest.raises(PodCallRefusedError, match="tasks run in another namespace") as refused:
        require_own_namespace(identify(pod(namespace)), template)
    assert refused.value.code is Code.PERMISSION_DENIED
