"""Whatever somebody writes into a spec: it is built, or refused with words for them."""

import json
from typing import Any

from google.protobuf import json_format
from hypothesis import given, settings, strategies as st

from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.plugins.jobs import SDK_TASKS, build, job_of, load_template

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
def test_a_spec_with_something_else_in_it(task: str, where: int, what: Any) -> None:
    template = load_template(task)
    custom = json_format.MessageToDict(template.custom)
    paths = _paths(custom)
    *above, last = paths[1 + where % (len(paths) - 1)]
    node: Any = custom
    for key in above:
        node = node[key]
    node[last] = what
    template.custom.Clear()
    template.custom.update(custom)
    try:
        resource = build(job_of(template))
    except BadSpecError:
        return
    assert json.dumps(resource)
