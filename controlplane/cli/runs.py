"""Commands of ``volary run``: archiving, holds and purges of runs, and what they took and published."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from controlplane.cli.calls import Platform, time_of, with_platform, yes
from controlplane.cli.tables import render_fields, table
from controlplane.client.calls import Message

P = ParamSpec("P")
T = TypeVar("T")
Key = dict[str, Any]


def in_project(command: Callable[P, T]) -> Callable[P, T]:
    """Add the options that name a project and a domain."""
    for option in (
        click.option("--domain", "-d", default="development", show_default=True),
        click.option("--project", "-p", default="flytesnacks", show_default=True),
    ):
        command = option(command)
    return command


def _with_run(
    command: Callable[Concatenate[Platform, Key, P], T],
) -> Callable[Concatenate[Platform, P], T]:
    """Add the arguments that name a run to a command, and pass it the fields of a request."""

    @click.argument("run_name", metavar="RUN")
    @in_project
    @wraps(command)
    def run_with_run(platform: Platform, /, *args: P.args, **options: P.kwargs) -> T:
        remaining: dict[str, Any] = dict(options)
        key = {
            "project": remaining.pop("project"),
            "domain": remaining.pop("domain"),
            "run": remaining.pop("run_name"),
        }
        return command(platform, key, *args, **remaining)

    return run_with_run


@click.group()
def run() -> None:
    """
    Archive, hold and purge runs; show what holds them and what they published.

    ``flyte run|rerun|get|abort`` start, read and stop them.
    """


@run.command()
@with_platform
@_with_run
def retention(platform: Platform, key: Key) -> None:
    """Show when an ended run expires, and what holds it."""
    answer = platform.call("RunService/GetRunRetention", **key)
    platform.answer(answer, _retention_lines(answer["retention"]))


def _set_state(state: str, done: str) -> Callable[..., None]:
    def command(platform: Platform, runs: Sequence[str], project: str, domain: str) -> None:
        answer = platform.call(
            "RunService/SetRunsState", project=project, domain=domain, runs=runs, state=state
        )
        changed = answer.get("changed", ())
        platform.answer(answer, [f"{len(changed)} of {len(runs)} runs are {done}."])

    runs = click.argument("runs", metavar="RUN...", nargs=-1, required=True)
    return runs(in_project(with_platform(command)))


run.command("archive", help="Archive runs: lists may leave them out, nothing else changes.")(
    _set_state("archived", "archived now")
)
run.command("unarchive", help="Make archived runs active again.")(
    _set_state("active", "active again")
)


@run.command()
@click.option("--reason", required=True, help="Who needs the run, and for how long.")
@with_platform
@_with_run
def hold(platform: Platform, key: Key, *, reason: str) -> None:
    """Hold a run until it is released: neither its age nor a purge deletes it."""
    answer = platform.call("RunService/HoldRun", reason=reason, **key)
    platform.answer(answer, [f"Run {key['run']} is held."])


@run.command()
@with_platform
@_with_run
def release(platform: Platform, key: Key) -> None:
    """End the hold of a run."""
    answer = platform.call("RunService/ReleaseRun", **key)
    platform.answer(answer, [f"Run {key['run']} is released."])


@run.command()
@yes
@with_platform
@_with_run
def purge(platform: Platform, key: Key) -> None:
    """Delete an ended run that nothing holds, with its inputs, outputs, logs and files."""
    platform.confirm(f"Delete run {key['run']} with all its data? This cannot be undone.")
    answer = platform.call("RunService/PurgeRun", **key)
    platform.answer(answer, [f"Run {key['run']} is being deleted."])


@run.command()
@with_platform
@_with_run
def artifacts(platform: Platform, key: Key) -> None:
    """Show the versions that a run took as inputs, and those that its actions published."""
    answer = platform.call("ArtifactService/GetRunArtifacts", **key)
    platform.answer(answer, _artifact_lines(answer))


def _retention_lines(found: Message) -> Iterable[str]:
    purging = time_of("purgingSince")(found)
    yield from render_fields({
        "ENDED": time_of("endedAt")(found),
        "EXPIRES": time_of("expiresAt")(found) or "never",
        "BEING DELETED SINCE": purging,
    })  # fmt: skip
    holds: Sequence[Message] = found.get("holds", ())
    if holds:
        yield ""
        yield from table(
            ("HELD BY", "NAME", "ENDS"),
            [(each["kind"], each["holder"], each["remedy"]) for each in holds],
        )


def _artifact_lines(found: Message) -> Iterable[str]:
    taken: Sequence[Message] = found.get("consumed", ())
    published: Sequence[Message] = found.get("produced", ())
    rows = [("taken", _version(each), "") for each in taken]
    rows += [("published", _version(each["artifact"]), each["action"]) for each in published]
    yield from table(("", "VERSION", "ACTION"), rows)
    if found.get("partial"):
        yield "It published more: flyte get artifact lists all."


def _version(key: Message) -> str:
    return f"{key['project']}/{key['domain']}/{key['name']}@{key['version']}"
