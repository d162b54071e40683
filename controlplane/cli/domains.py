"""Commands of ``volary domain``: list, create, rename and delete the domains of all projects."""

from collections.abc import Sequence

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.cli.tables import table
from controlplane.client.calls import Message

_SERVICE = "flyteidl2.org.DomainService"
_COLUMNS: Sequence[Column] = (
    ("DOMAIN", read("id")),
    ("NAME", read("friendlyName")),
    ("CREATED", time_of("createdAt")),
)


@click.group()
def domain() -> None:
    """List and change domains: every project of the org has each of them."""


@domain.command("list")
@with_platform
def list_(platform: Platform) -> None:
    """List the domains, oldest first."""
    answer = platform.call(f"{_SERVICE}/ListDomains")
    platform.answer(answer, _table(answer.get("domains", ())))


@domain.command()
@click.argument("name")
@with_platform
def show(platform: Platform, name: str) -> None:
    """Show a domain."""
    answer = platform.call(f"{_SERVICE}/GetDomain", id=name)
    platform.answer(answer, _table([answer["domain"]]))


@domain.command()
@click.argument("name")
@click.option("--display-name", help="Name that people see.  [default: NAME]")
@with_platform
def create(platform: Platform, name: str, *, display_name: str | None) -> None:
    """Create a domain in every project, and in those that are created later."""
    answer = platform.call(f"{_SERVICE}/CreateDomain", id=name, friendlyName=display_name)
    platform.answer(answer, [f"Domain {name} is created."])


@domain.command()
@click.argument("name")
@click.option("--display-name", required=True, help="Name that people see; NAME itself stays.")
@with_platform
def update(platform: Platform, name: str, *, display_name: str) -> None:
    """Change the name of a domain that people see."""
    answer = platform.call(f"{_SERVICE}/UpdateDomain", id=name, friendlyName=display_name)
    platform.answer(answer, [f"Domain {name} is shown as {display_name}."])


@domain.command()
@click.argument("name")
@yes
@with_platform
def delete(platform: Platform, name: str) -> None:
    """Delete a domain from every project; one with active triggers or runs is refused."""
    platform.confirm(f"Delete domain {name} from every project?")
    answer = platform.call(f"{_SERVICE}/DeleteDomain", id=name)
    platform.answer(answer, [f"Domain {name} is deleted."])


def _table(domains: Sequence[Message]) -> list[str]:
    titles = [title for title, _ in _COLUMNS]
    return list(table(titles, [[of(each) for _, of in _COLUMNS] for each in domains]))
