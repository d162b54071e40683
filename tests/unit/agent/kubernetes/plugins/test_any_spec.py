"""Any spec of a user is built, or refused with a sentence for them."""

import json
from copy import deepcopy
from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings, strategies as st

from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.plugins.jobs import (
    SDK_TASKS,
    build,
    job_of,
    load_template,
    name_of,
)
from tests.unit.agent.kubernetes.pods.sdk import CLUSTER

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70_000)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.sampled_from(["", "7", "Gi", "primary", "ray-head", "{{.input}}", "$(HOME)", "\u2028"])
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "value", "containers", "env", "x"]), inner)
    ),
    max_leaves=4,
)


_POD = {
    "containers": [
        {
            "name": "primary",
            "image": "registry.example/team/work:1",
            "args": ["a0"],
            "env": [{"name": "A", "value": "b"}],
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": 1}},
            "securityContext": {"privileged": False, "capabilities": {"add": ["X"]}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }
    ],
    "initContainers": [{"name": "first", "image": "registry.example/team/work:1"}],
    "nodeSelector": {"a": "b"},
    "terminationGracePeriodSeconds": 5,
    "tolerations": [{"key": "a"}],
    "volumes": [{"name": "v", "emptyDir": {}}],
}


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [path, *(each for key, value in below for each in _paths(value, (*path, key)))]


@settings(max_examples=80, deadline=None)
@given(task=st.sampled_from(SDK_TASKS), where=st.integers(0, 10_000), what=_JSON)
def test_plugin_builds_or_refuses_any_spec(task: str, where: int, what: Any) -> None:
    template = load_template(task)
    custom = json_format.MessageToDict(template.custom)
    _put(custom, where, what)
    template.custom.Clear()
    template.custom.update(custom)
    try:
        resource = build(job_of(template))
    except BadSpecError:
        return
    assert json.dumps(resource)


@settings(max_examples=80, deadline=None)
@given(where=st.integers(0, 10_000), what=_JSON)
def test_plugin_builds_or_refuses_any_pod(where: int, what: Any) -> None:
    template = load_template("dask")
    template.type = "python"
    pod = deepcopy(_POD)
    _put(pod, where, what)
    template.k8s_pod.pod_spec.update(pod)
    try:
        job = job_of(template)
        built = CLUSTER.build(job, name_of(job))
    except BadSpecError:
        return
    assert json.dumps(built)


def _put(node: Any, where: int, what: Any) -> None:
    paths = _paths(node)
    *above, last = paths[1 + where % (len(paths) - 1)]
    for key in above:
        node = node[key]
    node[last] = what
