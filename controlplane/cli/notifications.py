"""Commands of ``volary notification``: list deliveries, and send ended ones again."""

from collections.abc import Iterator, Sequence

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform
from controlplane.cli.named_notifications import config, rule

_STATES = click.Choice(["pending", "delivered", "failed"])
_COLUMNS: Sequence[Column] = (
    ("DELIVERY", read("id")),
    ("RUN", read("run")),
    ("PHASE", read("phase")),
    ("CHANNEL", read("channel")),
    ("RECEIVER", read("receiver")),
    ("STATE", read("state")),
    ("TRIES", read("tries", 0)),
    ("CREATED", time_of("createdAt")),
    ("ERROR", read("error")),
)


@click.group()
def notification() -> None:
    """Configure what is sent about runs, see what was sent, and send it again."""


notification.add_command(config)
notification.add_command(rule)


@notification.command("list")
@click.option("--state", type=_STATES, help="Only those in this state.")
@with_platform
def list_(platform: Platform, state: str | None) -> None:
    """List deliveries, newest first; they are kept for 30 days after their end."""
    platform.list("NotificationService/ListDeliveries", "deliveries", _COLUMNS, state=state)


@notification.command()
@click.argument("delivery", nargs=-1)
@click.option("--failed", is_flag=True, help="All that failed.")
@click.option("--receiver", help="With --failed: only those of this receiver.")
@with_platform
def resend(
    platform: Platform, delivery: tuple[str, ...], *, failed: bool, receiver: str | None
) -> None:
    """Send deliveries that ended again, under the same idempotency key."""
    if bool(delivery) == failed or (receiver and not failed):
        raise click.UsageError("Name deliveries, or give --failed, which --receiver narrows.")
    pages = _find_failed(platform, receiver) if failed else iter([delivery])
    resent = [each for page in pages if page for each in _resend(platform, page)]
    platform.answer({"resent": resent}, [f"{len(resent)} deliveries are sent again."])


def _find_failed(platform: Platform, receiver: str | None) -> Iterator[Sequence[str]]:
    pages = platform.pages("NotificationService/ListDeliveries", "deliveries", state="failed")
    for page in pages:
        yield [row["id"] for row in page if receiver in (None, row.get("receiver"))]


def _resend(platform: Platform, ids: Sequence[str]) -> Sequence[str]:
    answer = platform.call("NotificationService/ResendDeliveries", ids=list(ids))
    resent: Sequence[str] = answer.get("resent", ())
    return resent
