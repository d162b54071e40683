"""Commands of ``volary artifact``: which runs took a version."""

from collections.abc import Sequence

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform
from controlplane.cli.runs import in_project

_CONSUMERS: Sequence[Column] = (
    ("RUN", read("run")),
    ("PROJECT", read("project")),
    ("DOMAIN", read("domain")),
    ("TASK", read("task")),
    ("CREATED", time_of("at")),
)


@click.group()
def artifact() -> None:
    """
    Show the lineage of artifacts.

    ``flyte create|get artifact`` make and read versions.
    """


@artifact.command()
@click.argument("name")
@click.argument("version")
@in_project
@with_platform
def lineage(platform: Platform, name: str, version: str, project: str, domain: str) -> None:
    """
    List the runs that took a version as an input, newest first.

    ``volary run artifacts RUN`` shows what a run took and published.
    """
    key = {"project": project, "domain": domain, "name": name, "version": version}
    platform.list("ArtifactService/ListConsumers", "consumers", _CONSUMERS, artifact=key)
