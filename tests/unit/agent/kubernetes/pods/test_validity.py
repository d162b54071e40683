"""Values that no pod can have are refused by field, for pods and for operators' pods alike."""

from collections.abc import Mapping
from contextlib import suppress

import pytest

from dataplane.agent.kube.objects import Object
from dataplane.agent.runtimes.kubernetes.pods import Replica
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import IMAGE, build, make_task, serialise
from tests.unit.agent.kubernetes.pods.test_security import job_of, pod_with

OF_CONTAINER: Mapping[str, tuple[Object, str]] = {
    "a variable's name": ({"env": [{"name": "Ä", "value": "1"}]}, "env.name is 'Ä'"),
    "a variable without name": ({"env": [{"name": "", "value": "1"}]}, "env.name is ''"),
    "a variable with =": ({"env": [{"name": "A=B", "value": "1"}]}, "env.name is 'A=B'"),
    "a port of no number": ({"ports": [{"containerPort": 70000}]}, "containerPort is 70000"),
    "a port's name": (
        {"ports": [{"containerPort": 1, "name": "a_b"}]},
        "ports.name is 'a_b'.* single dashes",
    ),
    "a long port's name": ({"ports": [{"containerPort": 1, "name": "x" * 16}]}, "at most 15"),
    "a protocol": ({"ports": [{"containerPort": 1, "protocol": "udp"}]}, "protocol is 'udp'"),
    "a mount": ({"volumeMounts": [{"name": "v", "mountPath": "/a:b"}]}, "mountPath is '/a:b'"),
    "an image": ({"image": "i "}, "image is 'i '"),
}
OF_POD: Mapping[str, tuple[Object, str]] = {
    "a volume's name": ({"volumes": [{"name": "A_b", "emptyDir": {}}]}, "volumes.name is 'A_b'"),
    "a volume's size": (
        {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "big"}}]},
        "sizeLimit is 'big'",
    ),
    "a node selector's key": ({"nodeSelector": {"größe": "xl"}}, "nodeSelector is 'größe=xl'"),
    "a node selector's value": ({"nodeSelector": {"a": "b c"}}, "nodeSelector is 'a=b c'"),
    "a toleration's key": ({"tolerations": [{"key": "a b"}]}, "tolerations is 'a b='"),
    "a toleration's operator": (
        {"tolerations": [{"key": "a", "operator": "In"}]},
        "operator is 'In', which",
    ),
    "a toleration's effect": ({"tolerations": [{"effect": "Never"}]}, "effect is 'Never'"),
    "a container's name": (
        {"containers": [{"name": "primary", "image": IMAGE}, {"name": "Side_car", "image": "i"}]},
        "containers.name is 'Side_car'",
    ),
    "a name twice": (
        {
            "containers": [{"name": "primary", "image": IMAGE}],
            "initContainers": [{"name": "primary", "image": "i"}],
        },
        "containers.name is 'primary'.* there twice",
    ),
    "an amount beside": (
        {
            "containers": [
                {"name": "primary", "image": IMAGE},
                {"name": "x", "image": "i", "resources": {"limits": {"memory": "1 GB"}}},
            ]
        },
        "limits.memory is '1 GB'",
    ),
}


@pytest.mark.parametrize(("asked", "message"), OF_CONTAINER.values(), ids=OF_CONTAINER)
def test_invalid_container_is_refused_by_field(asked: Object, message: str) -> None:
    for replica in (None, Replica(role="worker")):
        with pytest.raises(BadSpecError, match=message):
            build(pod_with(asked), replica=replica)


@pytest.mark.parametrize(("asked", "message"), OF_POD.values(), ids=OF_POD)
def test_invalid_pod_is_refused_by_field(asked: Object, message: str) -> None:
    main = {"containers": [{"name": "primary", "image": IMAGE}]}
    for replica in (None, Replica(role="worker")):
        with pytest.raises(BadSpecError, match=message):
            build(job_of({**main, **asked}), replica=replica)


@pytest.mark.parametrize("odd", [[False], {"a": ["b"]}, "text", 1])
def test_fields_of_no_known_form_are_refused_or_left_to_the_api_server(odd: object) -> None:
    tolerations = [{"key": odd}, {"operator": odd}, {"effect": odd}, {"value": odd}]
    for each in tolerations:
        with suppress(BadSpecError):
            build(
                job_of({"containers": [{"name": "primary", "image": IMAGE}], "tolerations": [each]})
            )
    volumes = [{"name": "v", "emptyDir": odd}, {"name": "v", "emptyDir": {"sizeLimit": odd}}]
    for volume in volumes:
        with suppress(BadSpecError):
            build(
                job_of({"containers": [{"name": "primary", "image": IMAGE}], "volumes": [volume]})
            )


def test_task_variable_is_validated_without_a_pod_template() -> None:
    with pytest.raises(BadSpecError, match=r"env\.name is 'A=B'"):
        build(serialise(make_task(env_vars={"A=B": "1"})))
    assert build(serialise(make_task(env_vars={"with.dot-and dash": "1"})))
