"""Command line of the agent, ``volary-agent``: parses options, calls ``main`` or ``doctor``."""

import socket
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from dataplane.agent.core.capacity import default_slots
from dataplane.agent.core.errors import SettingsError
from dataplane.agent.kube.errors import KubeError
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.link.channel import is_loopback
from dataplane.agent.main import run_agent
from dataplane.agent.runtimes.connectors.client import ConnectorSettingError, Endpoint
from dataplane.agent.runtimes.connectors.endpoints import parse_endpoint
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.pods import Choices, ChoicesError, parse_choices
from dataplane.agent.runtimes.machine import read_total_memory
from dataplane.agent.settings import (
    PROXY_SERVICE_NAME,
    KubernetesSettings,
    ProcessSettings,
    Settings,
)
from shared.kit import logs, programs

_LEVELS = ("debug", "info", "warning", "error")
_DEFAULT_TIMEOUTS = PendingTimeouts()
_POD_SLOTS = 1000
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@click.group(context_settings={"auto_envvar_prefix": "VOLARY_AGENT"})
def main() -> None:
    """Run a cluster's attempts for a Volary control plane."""


@main.command(context_settings={"auto_envvar_prefix": "VOLARY_AGENT", "show_default": True})
@click.option(
    "--runtime",
    type=click.Choice(["process", "kubernetes"]),
    default="process",
    help="What attempts run in. Options below that apply to one of them begin with its name.",
)
@click.option(
    "--control-plane",
    required=True,
    metavar="HOST:PORT[,…]",
    help="Addresses of the control plane's agent link; several are dialled one after the other.",
)
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the cluster's token; read at each connection, so that it can be rotated.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CA certificates to trust instead of the system's. A loopback address needs no TLS.",
)
@click.option(
    "--public-endpoint",
    required=True,
    metavar="HOST:PORT",
    help="Address of the control plane's API, for tasks or for the proxy that they call.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 100_000),
    help="Concurrent attempts. A soft limit: parents that wait for their children take no slot, "
    "and while all slots wait one more attempt is requested at a time, as memory allows. "
    f"[default: {_POD_SLOTS} pods, or one process for each 256 MiB of memory, 4 to 256]",
)
@click.option(
    "--grace-seconds",
    type=click.FloatRange(0, 3600),
    default=10.0,
    help="From SIGTERM to SIGKILL, when a task is stopped.",
)
@click.option(
    "--retention-seconds",
    type=click.FloatRange(0),
    default=3600.0,
    help="How long to keep the directories or TaskActions of ended attempts.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="process: the agent's ledger and its attempts' directories. One agent at a time.",
)
@click.option(
    "--warm/--cold", default=True, help="process: fork tasks from a process with the SDK loaded."
)
@click.option(
    "--stop-attempts/--leave-attempts",
    default=False,
    help="process: when this agent stops, abort its attempts, or leave them to be adopted.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    help="kubernetes: how to reach the API server. [default: as the pod's service account]",
)
@click.option("--namespace", help="kubernetes: the agent's own. [default: the pod's]")
@click.option(
    "--namespace-template",
    default="{project}-{domain}",
    help="kubernetes: namespace of attempts; may contain {org}, {project} and {domain}.",
)
@click.option(
    "--create-namespaces/--no-create-namespaces",
    default=True,
    help="kubernetes: create missing namespaces.",
)
@click.option(
    "--identity",
    default=socket.gethostname,
    show_default="the host's name",
    help="kubernetes: unique name of this replica in the leader election.",
)
@click.option(
    "--lease-name", default="volary-agent", help="kubernetes: the Lease of the leader election."
)
@click.option(
    "--proxy-listen",
    default="0.0.0.0:8443",
    metavar="HOST:PORT",
    help="kubernetes: where the API proxy for pods listens.",
)
@click.option(
    "--proxy-address",
    metavar="HOST:PORT",
    help="kubernetes: address at which pods reach the API proxy. [default: the Service "
    "volary-agent-proxy of the agent's namespace, port 443]",
)
@click.option(
    "--connectors",
    default="",
    metavar="ADDRESS[,…]",
    help="kubernetes: connectors, host:port or grpcs://host:port, asked for their task types.",
)
@click.option(
    "--connector-for",
    multiple=True,
    metavar="TYPE=ADDRESS",
    help="kubernetes: the connector of one task type, even if another one serves it too.",
)
@click.option(
    "--log-link",
    multiple=True,
    metavar="NAME=URI",
    help="kubernetes: a link to the cluster's logs, shown with each attempt; the URI may contain "
    "{{.podName}}, {{.namespace}}, {{.runName}}, {{.actionName}}, {{.attempt}}.",
)
@click.option("--copilot-image", default="", help="kubernetes: brings the data of raw containers.")
@click.option(
    "--service-account", default="default", help="kubernetes: of pods whose task sets none."
)
@click.option(
    "--env-from-secret",
    default="",
    help="kubernetes: a Secret of an attempt's namespace whose entries are its variables, such "
    "as the credentials of a bucket. Better: give the service account an identity.",
)
@click.option(
    "--image-pull-secrets", default="", metavar="NAME[,…]", help="kubernetes: for every pod."
)
@click.option(
    "--pods",
    default="",
    metavar="JSON",
    help="kubernetes: policy for every pod: defaults, maxima, nodes, labels; docs/pods.md.",
)
@click.option(
    "--pending-timeout-seconds",
    type=click.FloatRange(0),
    default=1800.0,
    help="kubernetes: a pod that does not start within this time fails. 0: no limit.",
)
@click.option(
    "--image-timeout-seconds",
    type=click.FloatRange(0),
    default=_DEFAULT_TIMEOUTS.image.total_seconds(),
    help="kubernetes: from the first failed pull of an image until its pod fails.",
)
@click.option(
    "--config-timeout-seconds",
    type=click.FloatRange(0),
    default=_DEFAULT_TIMEOUTS.config.total_seconds(),
    help="kubernetes: the same if a Secret or ConfigMap of its environment is missing.",
)
@click.option(
    "--volume-timeout-seconds",
    type=click.FloatRange(0),
    default=_DEFAULT_TIMEOUTS.volume.total_seconds(),
    help="kubernetes: the same if a volume that it mounts is missing.",
)
@click.option(
    "--container-timeout-seconds",
    type=click.FloatRange(0),
    default=_DEFAULT_TIMEOUTS.container.total_seconds(),
    help="kubernetes: the same if the node cannot create or start a container.",
)
@click.option(
    "--metrics-listen", default="", metavar="HOST:PORT", help="kubernetes: serve /metrics here."
)
@click.option("--log-level", type=click.Choice(_LEVELS, case_sensitive=False), default="info")
@click.option("--log-json", is_flag=True, help="Log a JSON object a line.")
def run(*, log_level: str, log_json: bool, **given: Any) -> None:
    """Connect to the control plane and run the attempts it assigns, until stopped."""
    logs.configure(level=log_level, json_lines=log_json)
    settings = _settings(**given)
    try:
        programs.run_until_signalled(run_agent(settings))
    except (LedgerError, SettingsError) as error:
        click.echo(f"volary-agent: {error}", err=True)
        sys.exit(1)
    except KubeError as error:
        click.echo(f"volary-agent: {error}; run volary-agent doctor for details", err=True)
        sys.exit(1)


@main.command(
    context_settings={"auto_envvar_prefix": "VOLARY_AGENT", "show_default": True},
    params=[
        *run.params,
        click.Option(
            ["--task-namespace"],
            multiple=True,
            help="kubernetes: a namespace of tasks to check as well.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ],
)
def doctor(
    *,
    log_level: str,
    log_json: bool,
    task_namespace: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """
    Check everything that an agent with these options depends on, and print remedies.

    Exits with 1 if a check fails. Only writes and deletes one small blob; agents keep running.
    """
    import asyncio  # noqa: PLC0415

    from dataplane.agent.doctor.checks import run_checks  # noqa: PLC0415
    from dataplane.agent.doctor.results import is_well, render_json, render_text  # noqa: PLC0415
    from shared.kit.clock import SystemClock  # noqa: PLC0415

    logs.configure(level=log_level, json_lines=log_json)
    results = asyncio.run(run_checks(_settings(**given), task_namespace, SystemClock()))
    click.echo(render_json(results) if as_json else render_text(results))
    sys.exit(0 if is_well(results) else 1)


def _settings(
    *,
    runtime: str,
    control_plane: str,
    token_file: Path,
    ca_file: Path | None,
    public_endpoint: str,
    slots: int | None,
    grace_seconds: float,
    retention_seconds: float,
    **of_runtime: Any,
) -> Settings:
    runtime_settings: ProcessSettings | KubernetesSettings
    if runtime == "process":
        runtime_settings = _process_settings(public_endpoint, of_runtime)
        slots = slots or default_slots(read_total_memory())
    else:
        runtime_settings = _kubernetes_settings(public_endpoint, of_runtime)
        slots = slots or _POD_SLOTS
    return Settings(
        control_plane=[_address(each, "--control-plane") for each in _split(control_plane)],
        token_file=token_file,
        ca_file=ca_file,
        slots=slots,
        grace=timedelta(seconds=grace_seconds),
        retention=timedelta(seconds=retention_seconds),
        runtime=runtime_settings,
    )


def _process_settings(public_endpoint: str, given: dict[str, Any]) -> ProcessSettings:
    if given["data_dir"] is None:
        raise click.UsageError("--data-dir is required with --runtime process")
    endpoint = _address(public_endpoint, "--public-endpoint")
    return ProcessSettings(
        data_dir=given["data_dir"].resolve(),
        public_endpoint=endpoint,
        public_insecure=is_loopback(endpoint),
        warm=given["warm"],
        stop_attempts=given["stop_attempts"],
    )


def _kubernetes_settings(public_endpoint: str, given: dict[str, Any]) -> KubernetesSettings:
    namespace = given["namespace"] or _find_namespace()
    endpoint = _address(public_endpoint, "--public-endpoint")
    scheme = "http" if is_loopback(endpoint) else "https"
    by_type = _pairs(given["connector_for"], "--connector-for", "TYPE=ADDRESS")
    proxy_address = given["proxy_address"] or f"{PROXY_SERVICE_NAME}.{namespace}.svc:443"
    return KubernetesSettings(
        kubeconfig=given["kubeconfig"],
        namespace=namespace,
        namespace_template=_template(given["namespace_template"]),
        create_namespaces=given["create_namespaces"],
        identity=given["identity"],
        lease_name=given["lease_name"],
        connectors=[_endpoint(each, "--connectors") for each in _split(given["connectors"])],
        connector_by_type={name: _endpoint(at, "--connector-for") for name, at in by_type.items()},
        log_links=_pairs(given["log_link"], "--log-link", "NAME=URI"),
        public_url=f"{scheme}://{endpoint}",
        proxy_listen=_address(given["proxy_listen"], "--proxy-listen"),
        proxy_address=_address(proxy_address, "--proxy-address"),
        copilot_image=given["copilot_image"],
        service_account=given["service_account"],
        env_from_secret=given["env_from_secret"],
        image_pull_secrets=_split(given["image_pull_secrets"]),
        pods=_choices(given["pods"]),
        timeouts=PendingTimeouts(
            image=timedelta(seconds=given["image_timeout_seconds"]),
            container=timedelta(seconds=given["container_timeout_seconds"]),
            config=timedelta(seconds=given["config_timeout_seconds"]),
            volume=timedelta(seconds=given["volume_timeout_seconds"]),
            pending=timedelta(seconds=given["pending_timeout_seconds"]) or None,
        ),
        metrics_listen=given["metrics_listen"]
        and _address(given["metrics_listen"], "--metrics-listen"),
    )


def _choices(text: str) -> Choices:
    try:
        return parse_choices(text)
    except ChoicesError as error:
        raise click.BadParameter(str(error), param_hint="--pods") from error


def _endpoint(text: str, option: str) -> Endpoint:
    try:
        return parse_endpoint(text)
    except ConnectorSettingError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _split(text: str) -> Sequence[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(given: Sequence[str], option: str, form: str) -> Mapping[str, str]:
    pairs = {}
    for text in given:
        name, _, value = text.partition("=")
        if not (name and value):
            raise click.BadParameter(f"{text!r} is not {form}", param_hint=option)
        pairs[name] = value
    return pairs


def _find_namespace() -> str:
    try:
        return _OWN_NAMESPACE.read_text().strip()
    except OSError as error:
        raise click.UsageError("--namespace is required outside of a pod") from error


def _template(text: str) -> str:
    try:
        text.format(org="o", project="p", domain="d")
    except (KeyError, IndexError, ValueError) as error:
        raise click.BadParameter(
            f"{text!r} is not a template; it may contain {{org}}, {{project}} and {{domain}}",
            param_hint="--namespace-template",
        ) from error
    return text


def _address(text: str, option: str) -> str:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port or parts.path:
        raise click.BadParameter(f"{text!r} is not host:port", param_hint=option)
    return text
