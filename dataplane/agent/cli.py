"""``volary-agent``: parse arguments, call ``main``."""

import sys
from datetime import timedelta
from pathlib import Path

import click

from dataplane.agent.core.room import default_slots
from dataplane.agent.ledger.database import LedgerError
from dataplane.agent.link.channel import DialError, is_loopback
from dataplane.agent.link.connection import RefusedError
from dataplane.agent.main import DataDirectoryError, run_agent
from dataplane.agent.runtimes.machine import read_total_memory
from dataplane.agent.settings import Settings
from shared.kit import logs, programs

_LEVELS = ("debug", "info", "warning", "error")


@click.group(context_settings={"auto_envvar_prefix": "VOLARY_AGENT"})
def main() -> None:
    """Run a cluster's attempts for a Volary control plane."""


@main.command(context_settings={"auto_envvar_prefix": "VOLARY_AGENT", "show_default": True})
@click.option(
    "--control-plane",
    required=True,
    metavar="HOST:PORT[,…]",
    help="Where the link is served; several addresses are dialled one after the other.",
)
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Holds the cluster's token; read anew at each dial, so that it can be replaced.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Certificates to trust instead of the system's. A loopback address needs no TLS.",
)
@click.option(
    "--data-dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The agent's memory and its attempts' directories. One agent at a time.",
)
@click.option(
    "--public-endpoint",
    required=True,
    metavar="HOST:PORT",
    help="Where tasks reach the control plane's API.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 100_000),
    help="Processes at once. A soft bound: parents that wait for their children take no slot, "
    "and when nothing moves one more is asked for, as memory allows. "
    "[default: one for each 256 MiB of memory, 4 to 256]",
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
    help="Keep the directories and logs of ended attempts so long.",
)
@click.option("--warm/--cold", default=True, help="Fork tasks of a process that has the SDK ready.")
@click.option(
    "--stop-attempts/--leave-attempts",
    default=False,
    help="When this agent is stopped: abort its attempts, or leave them to be adopted.",
)
@click.option("--log-level", type=click.Choice(_LEVELS, case_sensitive=False), default="info")
@click.option("--log-json", is_flag=True, help="Log a JSON object a line.")
def run(
    *,
    control_plane: str,
    token_file: Path,
    ca_file: Path | None,
    data_dir: Path,
    public_endpoint: str,
    slots: int | None,
    grace_seconds: float,
    retention_seconds: float,
    warm: bool,
    stop_attempts: bool,
    log_level: str,
    log_json: bool,
) -> None:
    """Connect to the control plane and run what it assigns, until told to stop."""
    logs.configure(level=log_level, json_lines=log_json)
    settings = Settings(
        control_plane=[
            _address(each.strip(), "--control-plane") for each in control_plane.split(",")
        ],
        token_file=token_file,
        ca_file=ca_file,
        data_dir=data_dir.resolve(),
        public_endpoint=_address(public_endpoint, "--public-endpoint"),
        public_insecure=is_loopback(public_endpoint),
        slots=default_slots(read_total_memory()) if slots is None else slots,
        grace=timedelta(seconds=grace_seconds),
        retention=timedelta(seconds=retention_seconds),
        warm=warm,
        stop_attempts=stop_attempts,
    )
    try:
        programs.run_until_signalled(run_agent(settings))
    except (DataDirectoryError, DialError, LedgerError, RefusedError) as error:
        click.echo(f"volary-agent: {error}", err=True)
        sys.exit(1)


def _address(text: str, option: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise click.BadParameter(f"{text!r} is not host:port", param_hint=option)
    return text
