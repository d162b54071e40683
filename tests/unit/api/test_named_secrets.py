"""Secrets that a task spec names: of its security context, and of its connector."""

import pytest
from flyteidl2.task.task_definition_pb2 import TaskSpec

from controlplane.api.convert.secrets import list_named_secrets


def test_named_secrets_are_those_of_the_task_and_of_its_connector() -> None:
    spec = TaskSpec()
    spec.task_template.security_context.secrets.add(key="My-Key", group="g")
    spec.task_template.custom.update({"secrets": {"private_key": "pk", "omitted": None, "n": 1}})

    assert list_named_secrets(spec.SerializeToString()) == {"My-Key", "pk"}


@pytest.mark.parametrize("custom", [{}, {"secrets": None}, {"secrets": "pk"}, {"secrets": ["pk"]}])
def test_spec_without_secrets_names_none(custom: dict[str, object]) -> None:
    spec = TaskSpec()
    spec.task_template.custom.update(custom)

    assert list_named_secrets(spec.SerializeToString()) == frozenset()


def test_spec_that_is_no_task_names_none() -> None:
    assert list_named_secrets(b"\xff\xff") == frozenset()
