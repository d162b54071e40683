"""Variables and arguments that no process can be started with are refused by name."""

import subprocess
import sys

import pytest
from flyteidl2.task.run_pb2 import RunSpec
from google.protobuf.json_format import ParseDict

from controlplane.api.convert.environments import MAX_STRING_BYTES, MAX_TOTAL_BYTES
from controlplane.api.convert.specs import parse_run_spec, parse_task_spec
from controlplane.core.errors import InvalidError
from tests.unit.api.test_specs import make_spec

LARGE = "x" * (MAX_STRING_BYTES - len("SETTINGS=") - 1)

BAD = {
    "empty name": ("", "x", "has no name"),
    "equals sign": ("A=B", "x", "'A=B' holds '='"),
    "nul in the name": ("A\0B", "x", "rename it"),
    "nul in the value": ("A", "x\0y", "'A' holds a NUL"),
    "too large": ("SETTINGS", f"{LARGE}x", f"'SETTINGS' has {MAX_STRING_BYTES + 1} bytes"),
    "too large in bytes": ("A", "é" * (MAX_STRING_BYTES // 2), str(MAX_STRING_BYTES)),
}
each_bad = pytest.mark.parametrize(("name", "value", "says"), BAD.values(), ids=BAD)


@each_bad
def test_environment_variable_of_a_container_is_refused(name: str, value: str, says: str) -> None:
    spec = make_spec()
    spec.task_template.container.env.add(key=name, value=value)

    with pytest.raises(InvalidError) as refused:
        parse_task_spec(spec)

    assert says in str(refused.value)


@each_bad
def test_environment_variable_of_a_run_is_refused(name: str, value: str, says: str) -> None:
    spec = RunSpec()
    spec.envs.values.add(key=name, value=value)

    with pytest.raises(InvalidError) as refused:
        parse_run_spec(spec)

    assert says in str(refused.value)


@each_bad
def test_environment_variable_of_a_pod_template_is_refused(
    name: str, value: str, says: str
) -> None:
    spec = make_spec()
    pod = {"containers": [{"name": "primary", "env": [{"name": name, "value": value}]}]}
    ParseDict(pod, spec.task_template.k8s_pod.pod_spec)

    with pytest.raises(InvalidError) as refused:
        parse_task_spec(spec)

    assert says in str(refused.value)
    assert "'primary'" in str(refused.value)


def test_largest_environment_variable_is_accepted_and_starts_a_process() -> None:
    spec = make_spec()
    spec.task_template.container.env.add(key="SETTINGS", value=LARGE)

    parse_task_spec(spec)

    program = [sys.executable, "-c", "import os; print(len(os.environ['SETTINGS']))"]
    shown = subprocess.run(  # noqa: S603 -- our own interpreter
        program, env={"SETTINGS": LARGE}, capture_output=True, check=True
    )
    assert int(shown.stdout) == len(LARGE)
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(program, env={"SETTINGS": f"{LARGE}x"}, check=True)  # noqa: S603 -- ours


@pytest.mark.parametrize("argument", ["a\0b", "x" * MAX_STRING_BYTES])
def test_argument_that_no_process_can_have_is_refused(argument: str) -> None:
    spec = make_spec()
    spec.task_template.container.args.extend(["a0", argument])

    with pytest.raises(InvalidError, match="argument 1"):
        parse_task_spec(spec)


def test_environment_that_is_too_large_together_is_refused() -> None:
    spec = make_spec()
    for number in range(MAX_TOTAL_BYTES // MAX_STRING_BYTES + 1):
        spec.task_template.container.env.add(key=f"SETTING{number}", value="x" * 130_000)

    with pytest.raises(InvalidError, match=f"at most {MAX_TOTAL_BYTES}"):
        parse_task_spec(spec)
