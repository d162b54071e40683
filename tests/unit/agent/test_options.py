"""Tests of the agent's options: command line and environment variables become settings."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dataplane.agent import cli
from dataplane.agent.kube.errors import NoAccessError
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.link.channel import AgentRefusedError, DialError, Token
from dataplane.agent.main import pods
from dataplane.agent.runtimes.connectors.client import Endpoint
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.settings import PREFIX, KubernetesSettings, ProcessSettings, Settings
from shared.kit.certificates import CertificateError
from shared.kit.clock import SystemClock
from shared.kit.settings import SettingsError, read
from shared.kit.settings.options import given_by

NEEDED = {
    "RUNTIME": "kubernetes",
    "CONTROL_PLANE": "localhost:8101",
    "TOKEN_FILE": "token",
    "PUBLIC_ENDPOINT": "localhost:8100",
    "NAMESPACE": "volary",
}


def all_settings_of(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], *options: str
) -> Settings:
    for name, value in {**NEEDED, **variables}.items():
        monkeypatch.setenv(f"VOLARY_AGENT_{name}", value)
    given = cli.run.make_context("volary-agent", list(options)).params
    return read(Settings, os.environ, given_by(Settings, PREFIX, given))


def settings_of(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], *options: str
) -> KubernetesSettings:
    settings = all_settings_of(monkeypatch, variables, *options)
    assert isinstance(settings.runtime, KubernetesSettings)
    return settings.runtime


def test_pending_timeouts_are_set_by_options(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--config-timeout-seconds", "5", "--container-timeout-seconds", "0")
    variables = {
        "IMAGE_TIMEOUT_SECONDS": "600",
        "VOLUME_TIMEOUT_SECONDS": "7.5",
        "PENDING_TIMEOUT_SECONDS": "0",
    }
    assert settings_of(monkeypatch, variables, *options).timeouts == PendingTimeouts(
        image=timedelta(minutes=10),
        config=timedelta(seconds=5),
        container=timedelta(0),
        volume=timedelta(seconds=7.5),
        pending=None,
    )


def test_default_settings_match_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, {}).timeouts == PendingTimeouts(
        image=timedelta(seconds=180),
        config=timedelta(seconds=30),
        volume=timedelta(seconds=300),
        container=timedelta(seconds=180),
        pending=timedelta(seconds=1800),
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--connectors", "one:8000,https://two.example.com"),
        ("--connectors", "one"),
        ("--connector-for", "snowflake=grpcs://one"),
    ],
)
def test_invalid_connector_address_is_refused_with_its_option(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{option} is .*is not a connector address"):
        settings_of(monkeypatch, {}, option, value)


def test_connector_options_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = settings_of(
        monkeypatch, {"CONNECTORS": "one:8000, grpcs://two:443"}, "--connector-for", "x=three:1"
    )
    assert own.connectors == [
        Endpoint(address="one:8000"),
        Endpoint(address="two:443", secure=True),
    ]
    assert own.connector_by_type == {"x": Endpoint(address="three:1")}


@pytest.mark.parametrize("text", [None, "no certificate"], ids=["missing", "garbage"])
def test_unreadable_ca_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    settings = all_settings_of(monkeypatch, {"CA_FILE": str(path)})
    assert isinstance(settings.runtime, KubernetesSettings)
    with pytest.raises(DialError, match=r"ca\.pem.*check --ca-file"):
        pods._site(settings, settings.runtime, Token(Path("none")), SystemClock())


@pytest.mark.parametrize(
    "error",
    [
        CertificateError(
            "the proxy's authority has expired; delete its Secret and restart the agent"
        ),
        DialError("the token file cannot be read; check --token-file"),
        LedgerError("the disk is full"),
        NoAccessError("no kubeconfig; give one"),
        AgentRefusedError("this agent is too old; upgrade it"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_agent_with_bad_settings_prints_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(settings: Settings, checks: object) -> None:
        del settings, checks
        raise error

    monkeypatch.setattr(cli, "run_agent", fail)
    monkeypatch.setattr("dataplane.agent.cli.logs.configure", lambda **_: None)
    ended = run(NEEDED)

    assert ended.exit_code == 1
    assert ended.output == f"volary-agent: {error}\n"


def run(variables: Mapping[str, str], *options: str) -> Result:
    environment = {f"VOLARY_AGENT_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(cli.run, options, env=environment)


def test_agent_without_settings_names_all_that_are_required() -> None:
    ended = run({})

    assert ended.exit_code == 2
    assert [line.partition(" is not set")[0] for line in ended.output.splitlines()[3:]] == [
        "Error: --data-dir (VOLARY_AGENT_DATA_DIR)",
        "--control-plane (VOLARY_AGENT_CONTROL_PLANE)",
    ]


def test_agent_takes_one_kind_of_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="set VOLARY_AGENT_TOKEN_FILE or VOLARY_AGENT_JOIN"):
        settings_of(monkeypatch, {"JOIN_TOKEN_FILE": "join-token"})


def test_addresses_of_the_control_plane_follow_from_the_links(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = all_settings_of(
        monkeypatch,
        {"CONTROL_PLANE": "volary.example.com:8101,other:8101", "PUBLIC_ENDPOINT": ""},
    )
    assert settings.public_endpoint == "volary.example.com:443"
    chosen = all_settings_of(monkeypatch, {"ENROLMENT": "a:1,b:2"})
    assert chosen.enrolment.addresses == ["a:1", "b:2"]


def test_kubernetes_agent_outside_of_a_pod_needs_a_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match=r"^--namespace \(.*\) is not set, and this is no pod"):
        settings_of(monkeypatch, {"NAMESPACE": ""})


def test_misspelt_variable_of_the_agent_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def stop_at_once(settings: Settings, checks: object) -> None:
        del settings, checks

    monkeypatch.setattr(cli, "run_agent", stop_at_once)
    monkeypatch.setattr("dataplane.agent.cli.logs.configure", lambda **_: None)
    run({**NEEDED, "GRACE_SECOND": "5", "TASK_NAMESPACE": "of the doctor"})

    unknown = [vars(each) for each in caplog.records if each.msg == "unknown setting ignored"]
    assert [(each["variable"], each["nearest"]) for each in unknown] == [
        ("VOLARY_AGENT_GRACE_SECOND", "VOLARY_AGENT_GRACE_SECONDS")
    ]


def test_process_agent_ignores_settings_of_the_kubernetes_runtime(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = {"RUNTIME": "process", "DATA_DIR": str(tmp_path), "PODS": "no json"}
    assert all_settings_of(monkeypatch, variables, "--cold").runtime == ProcessSettings(
        data_dir=tmp_path, warm=False
    )


def test_invalid_policy_for_pods_is_refused_naming_its_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match=r"^VOLARY_AGENT_PODS is .*: .*cpus.*; set it to"):
        settings_of(monkeypatch, {"PODS": '{"cpus": 1}'})


def test_policy_for_pods_defaults_to_an_empty_object(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, {}) == settings_of(monkeypatch, {"PODS": "{}"})
