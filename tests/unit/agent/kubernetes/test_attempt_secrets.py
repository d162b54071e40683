"""Image pull secrets of an org become as few Secrets as a pod's registries need."""

import json

from dataplane.agent.kube.objects import Name
from dataplane.agent.runtimes.kubernetes.attempt_secrets import (
    MAX_PULL_SECRETS,
    list_secret_names,
    merge_docker_configs,
)
from shared.kit.secrets import SecretBytes


def docker(**auths: str) -> SecretBytes:
    return SecretBytes(
        json.dumps({"auths": {name: {"auth": auths[name]} for name in auths}}).encode()
    )


def merged(*configs: SecretBytes) -> list[dict[str, str]]:
    return [
        {name: each["auth"] for name, each in json.loads(config.reveal())["auths"].items()}
        for config in merge_docker_configs(configs)
    ]


def test_configs_of_different_registries_become_one() -> None:
    assert merged(docker(a="1", b="2"), docker(c="3")) == [{"a": "1", "b": "2", "c": "3"}]


def test_second_credential_of_a_registry_is_tried_after_the_first() -> None:
    assert merged(docker(a="new", b="2"), docker(a="old")) == [{"a": "new", "b": "2"}, {"a": "old"}]


def test_number_of_pull_secrets_is_bounded() -> None:
    configs = [docker(a=str(number)) for number in range(MAX_PULL_SECRETS + 5)]

    assert len(merged(*configs)) == MAX_PULL_SECRETS


def test_config_that_is_no_docker_config_is_left_out() -> None:
    broken = [SecretBytes(raw) for raw in (b"\xff", b"[]", b"{}", b'{"auths": 1}', b"[" * 99_999)]

    assert merged(*broken, docker(a="1")) == [{"a": "1"}]
    assert merged() == []


def test_names_of_an_attempts_secrets_are_bounded() -> None:
    names = list_secret_names(Name("p-d", "r1-a0-1-0123456789ab"))

    assert names[0] == "r1-a0-1-0123456789ab-secrets"
    assert len(set(names)) == 1 + MAX_PULL_SECRETS
