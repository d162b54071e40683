"""Commands ``volary notification config|rule``: what runs name to be reported."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.cli.operations import Duration
from controlplane.cli.tables import render_fields
from controlplane.client.calls import Message
from controlplane.client.errors import CallRefusedError, ClientError

_CONFIGS: Sequence[Column] = (
    ("CONFIG", read("name")),
    ("WEBHOOK", read("webhook.url")),
    ("SIGNED", read("signed", False)),
    ("MAIL TO", lambda row: ", ".join(row.get("email", {}).get("to", ())) or None),
    ("VERSION", read("version")),
)
_RULES: Sequence[Column] = (
    ("RULE", read("name")),
    ("PHASES", lambda row: ", ".join(row["phases"])),
    ("CONFIGS", lambda row: ", ".join(row["deliveryConfigs"])),
    ("VERSION", read("version")),
)
_PHASES = click.Choice(["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"], case_sensitive=False)
_NAME = click.argument("name")


@click.group()
def config() -> None:
    """Configure where runs are reported, and with what content."""


@config.command("list")
@with_platform
def list_configs(platform: Platform) -> None:
    """List delivery configurations, with their addresses."""
    platform.list("DeliveryConfigService/ListDeliveryConfigs", "deliveryConfigs", _CONFIGS)


@config.command("show")
@_NAME
@with_platform
def show_config(platform: Platform, name: str) -> None:
    """Show a delivery configuration with its content."""
    answer = platform.call("DeliveryConfigService/GetDeliveryConfig", name=name)
    _show(platform, answer, "deliveryConfig")


@config.command("set")
@_NAME
@click.option("--webhook", help="Address of a webhook; {{.Run.Name}} and so on in path and query.")
@click.option("--method", help="Its method.  [default: POST]")
@click.option("--header", "headers", multiple=True, help="NAME=VALUE; repeatable.")
@click.option("--body", help="Its body, a template.")
@click.option("--to", multiple=True, help="Recipient of mail; repeatable.")
@click.option("--subject", help="Subject of the mail, a template.")
@click.option("--text", help="Text of the mail, a template.")
@with_platform
def set_config(
    platform: Platform,
    name: str,
    *,
    webhook: str | None,
    method: str | None,
    headers: Sequence[str],
    body: str | None,
    to: Sequence[str],
    subject: str | None,
    text: str | None,
) -> None:
    """Create a delivery configuration, or replace its webhook, its mail or both."""
    given: dict[str, object] = {}
    if webhook is not None:
        given["webhook"] = {
            "url": webhook,
            "method": method or "POST",
            "headers": _parse_headers(headers),
            "body": body or "",
        }
    elif method or headers or body:
        raise click.UsageError("--method, --header and --body belong to a webhook; give --webhook")
    if to:
        given["email"] = {"to": list(to), "subject": subject or "", "text": text or ""}
    elif subject or text:
        raise click.UsageError("--subject and --text belong to a mail; give --to")
    _set(platform, "DeliveryConfig", "deliveryConfig", name, given)


@config.command("delete")
@_NAME
@yes
@with_platform
def delete_config(platform: Platform, name: str) -> None:
    """Delete a delivery configuration that no rule names."""
    platform.confirm(f"Delete delivery configuration {name}?")
    answer = platform.call("DeliveryConfigService/DeleteDeliveryConfig", name=name)
    platform.answer(answer, [f"Delivery configuration {name} is deleted."])


@config.command("rotate-secret")
@_NAME
@click.option(
    "--overlap",
    type=Duration(),
    help="How long earlier secrets sign as well, e.g. 48h; 0s ends them now.  [default: 24h]",
)
@with_platform
def rotate_secret(platform: Platform, name: str, *, overlap: timedelta | None) -> None:
    """Sign the webhook with a new secret, which is shown this once."""
    answer = platform.call(
        "DeliveryConfigService/RotateSigningSecret",
        name=name,
        overlap=None if overlap is None else f"{int(overlap.total_seconds())}s",
    )
    lines = [answer["signingSecret"]]
    if until := time_of("previousUntil")(answer):
        lines.append(f"Earlier secrets sign as well until {until}.")
    platform.answer(answer, lines)


@click.group()
def rule() -> None:
    """Configure rules, which runs name: phases, and delivery configurations."""


@rule.command("list")
@with_platform
def list_rules(platform: Platform) -> None:
    """List notification rules."""
    platform.list("NotificationRuleService/ListNotificationRules", "notificationRules", _RULES)


@rule.command("set")
@_NAME
@click.option("--phase", "phases", type=_PHASES, multiple=True, help="Phase to report; repeatable.")
@click.option("--config", "configs", multiple=True, help="Delivery configuration; repeatable.")
@with_platform
def set_rule(
    platform: Platform, name: str, *, phases: Sequence[str], configs: Sequence[str]
) -> None:
    """Create a rule, or replace its phases, its delivery configurations or both."""
    given: dict[str, object] = {}
    if phases:
        given["phases"] = list(phases)
    if configs:
        given["deliveryConfigs"] = list(configs)
    _set(platform, "NotificationRule", "notificationRule", name, given)


@rule.command("delete")
@_NAME
@yes
@with_platform
def delete_rule(platform: Platform, name: str) -> None:
    """Delete a rule; runs that name it are reported no longer."""
    platform.confirm(f"Delete notification rule {name}?")
    answer = platform.call("NotificationRuleService/DeleteNotificationRule", name=name)
    platform.answer(answer, [f"Notification rule {name} is deleted."])


def _set(platform: Platform, noun: str, field: str, name: str, given: Mapping[str, object]) -> None:
    """Update what is given, or create it."""
    if not given:
        raise ClientError("nothing to set; see --help")
    content = {"name": name, **given}
    try:
        answer = platform.call(
            f"{noun}Service/Update{noun}", **{field: content}, updateMask=",".join(given)
        )
    except CallRefusedError as error:
        if error.code != "not_found":
            raise
        answer = platform.call(f"{noun}Service/Create{noun}", **{field: content})
    _show(platform, answer, field)


def _show(platform: Platform, answer: Message, field: str) -> None:
    platform.answer(answer, render_fields(answer[field]))


def _parse_headers(headers: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for each in headers:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"--header {each!r} is not NAME=VALUE")
        found[name] = value
    return found
