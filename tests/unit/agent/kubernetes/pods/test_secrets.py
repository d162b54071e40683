"""A task's secrets are referred to, by name; a value is nowhere in a pod."""

from pathlib import Path

import flyte
import pytest
from flyteidl2.core import security_pb2

from dataplane.agent.runtimes.tasks import BadSpecError
from tests.unit.agent.kubernetes.pods.sdk import (
    build,
    main_container,
    make_task,
    serialise,
    volume,
    with_template,
)

MOUNT = Path("/etc/flyte/secrets")


def test_secret_is_a_variable_by_reference() -> None:
    task = make_task(secrets=["my-key", flyte.Secret("PASSWORD", group="Data_Base")])
    env = main_container(build(serialise(task)))["env"]

    assert {
        "name": "MY_KEY",
        "valueFrom": {"secretKeyRef": {"name": "volary-secrets", "key": "my-key"}},
    } in env
    assert {
        "name": "DATA_BASE_PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": "data-base", "key": "PASSWORD"}},
    } in env


def test_secret_variable_has_the_tasks_name() -> None:
    task = make_task(secrets=flyte.Secret("k", as_env_var="OPENAI_API_KEY"))
    names = [entry["name"] for entry in main_container(build(serialise(task)))["env"]]

    assert "OPENAI_API_KEY" in names


def test_secrets_as_files_lie_by_group_in_lower_case() -> None:
    task = make_task(
        secrets=[
            flyte.Secret("TOKEN", group="Hub", mount=MOUNT),
            flyte.Secret("OTHER", group="Hub", mount=MOUNT),
            flyte.Secret("Plain", mount=MOUNT),
        ]
    )
    pod = build(serialise(task))

    assert {
        "name": "volary-secrets",
        "mountPath": "/etc/flyte/secrets",
        "readOnly": True,
    } in main_container(pod)["volumeMounts"]
    assert volume(pod, "volary-secrets")["projected"]["sources"] == [
        {
            "secret": {
                "name": "hub",
                "items": [
                    {"key": "TOKEN", "path": "Hub/token"},
                    {"key": "TOKEN", "path": "Hub/TOKEN"},
                    {"key": "OTHER", "path": "Hub/other"},
                    {"key": "OTHER", "path": "Hub/OTHER"},
                ],
            }
        },
        {
            "secret": {
                "name": "volary-secrets",
                "items": [{"key": "Plain", "path": "plain"}, {"key": "Plain", "path": "Plain"}],
            }
        },
    ]


def test_repeated_secret_is_set_once_and_conflicting_ones_are_refused() -> None:
    def files(*keys: str) -> int:
        task = make_task(secrets=[flyte.Secret(key, mount=MOUNT) for key in keys])
        (source,) = volume(build(serialise(task)), "volary-secrets")["projected"]["sources"]
        return len(source["secret"]["items"])

    assert files("token", "token") == 1
    with pytest.raises(
        BadSpecError, match="two secrets are the same file /etc/flyte/secrets/token"
    ):
        files("token", "TOKEN")


def test_secrets_that_would_be_one_secret_or_one_variable_are_refused() -> None:
    def ask(*secrets: flyte.Secret) -> None:
        build(serialise(make_task(secrets=list(secrets))))

    ask(flyte.Secret("a", group="My_Team"), flyte.Secret("b", group="My_Team"))
    with pytest.raises(
        BadSpecError, match="'My_Team' and 'my-team' map to the same Secret my-team"
    ):
        ask(flyte.Secret("a", group="My_Team"), flyte.Secret("b", group="my-team"))
    with pytest.raises(BadSpecError, match="set the same variable API_KEY; give one"):
        ask(flyte.Secret("api-key"), flyte.Secret("api_key"))


def test_secret_cannot_set_system_variables() -> None:
    task = make_task(secrets=flyte.Secret("k", as_env_var="_U_ORG_NAME"))
    env = main_container(build(serialise(task)))["env"]

    assert [entry for entry in env if entry["name"] == "_U_ORG_NAME"] == [
        {"name": "_U_ORG_NAME", "value": "acme"}
    ]


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ({"key": "a/b"}, "'a/b' is not a valid key of a Kubernetes Secret; use letters"),
        ({"key": ".."}, "is not a valid key of a Kubernetes Secret"),
        ({"key": "k", "group": "!!"}, "group '!!' makes no valid name of a Kubernetes Secret"),
        ({"key": "k", "group": "../x", "mount_requirement": "FILE"}, "leads outside of /etc/flyte"),
        ({"key": "k", "group": "x" * 254}, "at most 253 of them"),
        ({"key": "k", "group": "a..b"}, "makes no valid name of a Kubernetes Secret"),
        ({"key": "k", "env_var": "a b"}, "cannot be the variable 'a b'; choose .* as_env_var"),
    ],
)
def test_invalid_secret_name_is_refused(secret: dict[str, str], message: str) -> None:
    raw = security_pb2.SecurityContext(secrets=[security_pb2.Secret(**secret)])
    job = with_template(serialise(make_task()), security_context=raw)

    with pytest.raises(BadSpecError, match=message):
        build(job)
