"""Disconnect policy of a task, by a variable, a label or an annotation."""

from typing import Any

import flyte
import pytest
from flyte._internal.runtime.task_serde import translate_task_to_wire
from kubernetes.client import V1Container, V1EnvVar, V1PodSpec

from controlplane.api.convert.specs import parse_task_spec
from controlplane.core.errors import InvalidError
from tests.unit.agent.kubernetes.pods import sdk

_VARIABLE = "VOLARY_ON_DISCONNECT"
_KEY = "volary.dev/on-disconnect"


def is_replaceable(**output: Any) -> bool:
    wire = translate_task_to_wire(sdk.make_task(**output), sdk._CONTEXT)
    return parse_task_spec(wire)[0].policy.replaceable


def template(variable: str | None = None, **metadata: Any) -> flyte.PodTemplate:
    env = None if variable is None else [V1EnvVar(name=_VARIABLE, value=variable)]
    spec = V1PodSpec(containers=[V1Container(name="primary", env=env), V1Container(name="other")])
    return flyte.PodTemplate(pod_spec=spec, **metadata)


def test_disconnect_policy_is_read_from_the_environment_variable() -> None:
    for more in ({}, {"pod_template": template()}):
        assert is_replaceable(env_vars={_VARIABLE: "replace"}, **more)
        assert not is_replaceable(env_vars={_VARIABLE: "keep"}, **more)
        assert not is_replaceable(**more)
        with pytest.raises(InvalidError, match="VOLARY_ON_DISCONNECT is 'nonsense'; must be keep"):
            is_replaceable(env_vars={_VARIABLE: "nonsense"}, **more)
    assert is_replaceable(pod_template=template("replace"))


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_disconnect_policy_is_read_from_pod_template_labels_and_annotations(place: str) -> None:
    def say(value: str) -> flyte.PodTemplate:
        metadata: dict[str, Any] = {place: {_KEY: value}}
        return template(**metadata)

    assert is_replaceable(pod_template=say("replace"))
    assert not is_replaceable(pod_template=say("keep"))
    with pytest.raises(
        InvalidError, match=f"the {place[:-1]} {_KEY} is 'x'; must be keep or replace"
    ):
        is_replaceable(pod_template=say("x"))


def test_disconnect_policies_that_differ_are_refused() -> None:
    output = template(annotations={_KEY: "keep"})
    with pytest.raises(InvalidError, match=r"on-disconnect is keep and VOLARY_ON_DISCONNECT is re"):
        is_replaceable(pod_template=output, env_vars={_VARIABLE: "replace"})


def test_malformed_pod_template_sets_no_disconnect_policy() -> None:
    wire = translate_task_to_wire(sdk.make_task(pod_template=template()), sdk._CONTEXT)
    wire.task_template.k8s_pod.pod_spec.update({"containers": ["text", {"name": "primary"}]})
    before = wire.SerializeToString(deterministic=True)

    assert not parse_task_spec(wire)[0].policy.replaceable
    assert wire.SerializeToString(deterministic=True) == before
