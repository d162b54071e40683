"""What an operator says on the command line, or in the environment, is what the agent goes by."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from dataplane.agent import cli
from dataplane.agent.runtimes.kubernetes.waiting import Patience
from dataplane.agent.settings import KubernetesSettings

NEEDED = {
    "RUNTIME": "kubernetes",
    "CONTROL_PLANE": "localhost:8101",
    "TOKEN_FILE": "token",
    "PUBLIC_ENDPOINT": "localhost:8100",
    "NAMESPACE": "volary",
}


def settings_of(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], *options: str
) -> KubernetesSettings:
    for name, value in {**NEEDED, **variables}.items():
        monkeypatch.setenv(f"VOLARY_AGENT_{name}", value)
    given = cli.run.make_context("volary-agent", list(options)).params
    settings = cli._settings(
        **{name: value for name, value in given.items() if name not in {"log_level", "log_json"}}
    )
    assert isinstance(settings.runtime, KubernetesSettings)
    return settings.runtime


def test_what_is_waited_for_has_a_patience_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--config-patience-seconds", "5", "--container-patience-seconds", "0")
    variables = {
        "IMAGE_PATIENCE_SECONDS": "600",
        "VOLUME_PATIENCE_SECONDS": "7.5",
        "PENDING_TIMEOUT_SECONDS": "0",
    }
    assert settings_of(monkeypatch, variables, *options).patience == Patience(
        image=timedelta(minutes=10),
        config=timedelta(seconds=5),
        container=timedelta(0),
        volume=timedelta(seconds=7.5),
        pending=None,
    )


def test_what_nobody_says_is_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, {}).patience == Patience(
        image=timedelta(seconds=180),
        config=timedelta(seconds=30),
        volume=timedelta(seconds=300),
        container=timedelta(seconds=180),
        pending=timedelta(seconds=1800),
    )
