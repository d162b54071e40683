"""Command line of the agent, ``volary-agent``: reads settings, calls ``main`` or ``doctor``."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta

import click

from dataplane.agent.kube.errors import KubeError
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.main import run_agent
from dataplane.agent.settings import PREFIX, TASK_NAMESPACE, Settings, warn_of_unknown
from shared.kit import logs, programs
from shared.kit.clock import Clock
from shared.kit.settings import SettingsError, read
from shared.kit.settings.options import given_by, make_options
from shared.model.findings import Finding


@click.group()
def main() -> None:
    """
    Run a cluster's attempts for a Volary control plane.

    Each option is also an environment variable: --grace-seconds is VOLARY_AGENT_GRACE_SECONDS.
    """


@main.command(params=[*make_options(Settings, PREFIX)])
def run(**options: object) -> None:
    """Connect to the control plane and run the attempts it assigns, until stopped."""
    settings = _read_settings(options)
    try:
        programs.run_until_signalled(run_agent(settings, _check_regularly))
    except (LedgerError, SettingsError) as error:
        click.echo(f"volary-agent: {error}", err=True)
        sys.exit(1)
    except KubeError as error:
        click.echo(f"volary-agent: {error}; run volary-agent doctor for details", err=True)
        sys.exit(1)


@main.command(
    params=[
        *make_options(Settings, PREFIX),
        click.Option(
            ["--task-namespace"],
            multiple=True,
            envvar=TASK_NAMESPACE,
            help="kubernetes: a namespace of tasks to check as well.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ],
)
def doctor(*, task_namespace: Sequence[str], as_json: bool, **options: object) -> None:
    """
    Check everything that an agent with these options depends on, and print remedies.

    Exits with 1 if a check fails. Only writes and deletes one small blob; agents keep running.
    """
    import asyncio  # noqa: PLC0415

    from dataplane.agent.doctor.checks import run_checks  # noqa: PLC0415
    from dataplane.agent.doctor.results import is_well, render_json, render_text  # noqa: PLC0415
    from shared.kit.clock import SystemClock  # noqa: PLC0415

    settings = _read_settings(options)
    results = asyncio.run(run_checks(settings, task_namespace, SystemClock()))
    click.echo(render_json(results) if as_json else render_text(results))
    sys.exit(0 if is_well(results) else 1)


async def _check_regularly(
    settings: Settings, clock: Clock, skew: timedelta | None
) -> Sequence[Finding]:
    from dataplane.agent.doctor.regular import run_regular_checks  # noqa: PLC0415

    return await run_regular_checks(settings, clock, skew)


def _read_settings(options: Mapping[str, object]) -> Settings:
    """Read options and variables, and configure the logs; UsageError names what is invalid."""
    try:
        settings = read(Settings, os.environ, given_by(Settings, PREFIX, options))
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    logs.configure(level=settings.log.level, json_lines=settings.log.json)
    warn_of_unknown(os.environ)
    return settings
