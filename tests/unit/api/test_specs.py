"""Fields read from a TaskSpec, which is parsed once."""

from datetime import timedelta

import pytest
from flyteidl2.task.task_definition_pb2 import TaskSpec

from controlplane.api.convert.specs import parse_task_spec
from controlplane.core.actions import RetryPolicy
from controlplane.core.errors import InvalidError


def make_spec(name: str = "env.sub.main") -> TaskSpec:
    spec = TaskSpec(short_name="main")
    spec.environment.name = "env"
    spec.task_template.id.name = name
    spec.task_template.id.version = "v1"
    spec.task_template.type = "python"
    return spec


def test_task_info_is_parsed() -> None:
    _, info = parse_task_spec(make_spec())

    assert (info.name, info.version, info.task_type) == ("env.sub.main", "v1", "python")
    assert (info.environment, info.function, info.short_name) == ("env", "main", "main")


def test_retry_policy_is_parsed() -> None:
    spec = make_spec()
    metadata = spec.task_template.metadata
    metadata.retries.retries = 3
    metadata.retries.backoff.base.seconds = 2
    metadata.retries.backoff.factor = 1.5
    metadata.retries.backoff.cap.seconds = 60
    metadata.timeout.seconds = 100
    metadata.timeouts.queued_timeout.seconds = 10
    metadata.timeouts.deadline.seconds = 1000

    read, _ = parse_task_spec(spec)

    assert read.policy == RetryPolicy(
        retries=3,
        backoff_base=timedelta(seconds=2),
        backoff_factor=1.5,
        backoff_cap=timedelta(minutes=1),
        max_runtime=timedelta(seconds=100),
        queued_timeout=timedelta(seconds=10),
        deadline=timedelta(seconds=1000),
    )


def test_default_retry_policy_has_no_retries_and_no_timeouts() -> None:
    assert parse_task_spec(make_spec())[0].policy == RetryPolicy()


def test_equal_specs_are_one_and_read_once() -> None:
    one, other = make_spec(), make_spec()
    for spec, order in ((one, "ab"), (other, "ba")):
        for letter in order:  # maps have no order, but their bytes usually have
            spec.task_template.config[letter] = letter

    assert parse_task_spec(one)[0] is parse_task_spec(other)[0]
    assert parse_task_spec(make_spec("env.b"))[0].digest != parse_task_spec(one)[0].digest


@pytest.mark.parametrize("retries", [1001, 2**32 - 1])
def test_retries_without_end_are_refused(retries: int) -> None:
    spec = make_spec()
    spec.task_template.metadata.retries.retries = retries
    with pytest.raises(InvalidError, match="retries"):
        parse_task_spec(spec)
