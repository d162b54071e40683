"""
Commands of ``volary settings``: show and change what orgs, domains and projects give their runs.

A key is dotted, as in docs/run-settings.md; one entry of a map is ``labels.team``. A change reads
its level, changes the keys that it names, and replaces the level; a change by others meanwhile is an error.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from controlplane.cli.calls import Platform, with_platform
from controlplane.cli.tables import table
from controlplane.client.calls import Message
from controlplane.client.errors import ClientError

P = ParamSpec("P")
T = TypeVar("T")
Leaf = dict[str, Any]

_SERVICE = "flyteidl2.settings.SettingsService"
_VALUE, _UNSET = "SETTING_STATE_VALUE", "SETTING_STATE_UNSET"
_LEVELS: Mapping[str, str] = {
    "SCOPE_LEVEL_ORG": "org",
    "SCOPE_LEVEL_DOMAIN": "domain",
    "SCOPE_LEVEL_PROJECT": "project",
}


def _integer(key: str, text: str) -> object:
    try:
        return int(text)
    except ValueError:
        raise ClientError(f"{key}: {text!r} is not a whole number") from None


def _boolean(key: str, text: str) -> object:
    if text not in {"true", "false"}:
        raise ClientError(f"{key}: {text!r} is neither true nor false")
    return text == "true"


@dataclass(frozen=True, slots=True)
class _Kind:
    """The field of a leaf that holds its value, and how a command's text becomes it."""

    field: str
    parse: Callable[[str, str], object]


_STRING = _Kind("stringValue", lambda _key, text: text)
_INTEGER = _Kind("intValue", _integer)
_BOOLEAN = _Kind("boolValue", _boolean)
_QUANTITY = _Kind("quantityValue", lambda _key, text: text)
_DEVICE = _Kind("acceleratorValue", lambda _key, text: {"device": text})
_MAP = "mapValue"

MAPS: Sequence[str] = ("labels", "annotations", "environment_variables")
KINDS: Mapping[str, _Kind] = {
    "run.default_queue": _STRING,
    "run.max_action_concurrency": _INTEGER,
    "run.run_base_dir": _STRING,
    "security.service_account": _STRING,
    "storage.raw_data_path": _STRING,
    **{
        f"task_resource.{bound}.{resource}": _QUANTITY
        for bound in ("min", "max")
        for resource in ("cpu", "gpu", "memory", "storage")
    },
    "task_resource.mirror_limits_request": _BOOLEAN,
    "task_resource.default_accelerator": _DEVICE,
    "app.disallow_anonymous": _BOOLEAN,
    "app.app_dns_strategy": _STRING,
    "pod_template_name": _STRING,
}


def _with_key(
    command: Callable[Concatenate[Platform, Message, P], T],
) -> Callable[Concatenate[Platform, P], T]:
    """Add the options that name a level to a command, and pass it the key of a request."""

    @click.option("--project", "-p", help="Of this project, in the --domain.")
    @click.option("--domain", "-d", help="Of this domain; without it, of the org.")
    @wraps(command)
    def run_with_key(platform: Platform, /, *args: P.args, **options: P.kwargs) -> T:
        remaining: dict[str, Any] = dict(options)
        domain, project = remaining.pop("domain"), remaining.pop("project")
        key = {"domain": domain or "", "project": project or ""}
        return command(platform, key, *args, **remaining)

    return run_with_key


@click.group()
def settings() -> None:
    """
    Show and change the settings of runs: of the org, a domain, or a project in a domain.

    Runs that are created from then on get them. The narrower level wins.
    """


@settings.command()
@click.option("--own", is_flag=True, help="Only what this level itself says.")
@with_platform
@_with_key
def show(platform: Platform, key: Message, *, own: bool) -> None:
    """Show the settings in force, each with the level that it is from."""
    if own:
        record = _read(platform, key)
        platform.answer({"settingsRecord": record}, _list_own(record.get("settings", {})))
        return
    answer = platform.call(f"{_SERVICE}/GetSettings", key=key)
    found = answer["settingsRecord"].get("settings", {})
    rows = [
        (name, _show(leaf), _LEVELS[leaf.get("scopeLevel", "SCOPE_LEVEL_ORG")])
        for name, leaf in _leaves(found)
    ]
    platform.answer(answer, table(["KEY", "VALUE", "FROM"], rows))


@settings.command("set")
@click.argument("assignments", metavar="KEY=VALUE…", nargs=-1, required=True)
@with_platform
@_with_key
def set_(platform: Platform, key: Message, *, assignments: Sequence[str]) -> None:
    """Set keys; of a map one entry, as in labels.team=core."""

    def change(found: dict[str, Any]) -> None:
        for assignment in assignments:
            name, sign, text = assignment.partition("=")
            if not sign:
                raise ClientError(f"{assignment!r} has no =; write it as {name}=VALUE")
            _set(found, name, text)

    _change(platform, key, change)


@settings.command()
@click.argument("names", metavar="KEY…", nargs=-1, required=True)
@with_platform
@_with_key
def unset(platform: Platform, key: Message, *, names: Sequence[str]) -> None:
    """Cut keys off from the levels above: nothing is in force here."""

    def change(found: dict[str, Any]) -> None:
        for name in names:
            _require_known(name)
            _find(found, name).update({"state": _UNSET})

    _change(platform, key, change)


@settings.command()
@click.argument("names", metavar="KEY…", nargs=-1, required=True)
@with_platform
@_with_key
def inherit(platform: Platform, key: Message, *, names: Sequence[str]) -> None:
    """Take keys, or entries of maps, out of this level: what is above applies."""

    def change(found: dict[str, Any]) -> None:
        for name in names:
            parent, entry = _split(name)
            leaf = _find(found, parent)
            entries = leaf.get(_MAP, {}).get("entries", {})
            if entry is not None and entry in entries:
                del entries[entry]
            if entry is None or (leaf.get("state") == _VALUE and not entries):
                leaf.clear()

    _change(platform, key, change)


def _change(platform: Platform, key: Message, change: Callable[[dict[str, Any]], None]) -> None:
    record = _read(platform, key)
    found: dict[str, Any] = json.loads(json.dumps(record.get("settings", {})))
    change(found)
    version = record.get("version", 0)
    request = {"key": key, "settings": found}
    answer = (
        platform.call(f"{_SERVICE}/UpdateSettings", version=version, **request)
        if int(version)
        else platform.call(f"{_SERVICE}/CreateSettings", **request)
    )
    platform.answer(answer, _list_own(answer["settingsRecord"].get("settings", {})))


def _read(platform: Platform, key: Message) -> Message:
    """Return the record of a level; one that stores nothing has no version."""
    record: Message = platform.call(f"{_SERVICE}/GetSettingsForEdit", key=key)["levels"][-1]
    return record


def _set(found: dict[str, Any], name: str, text: str) -> None:
    parent, entry = _split(name)
    leaf = _find(found, parent)
    if entry is not None:
        entries = leaf.get(_MAP, {}).get("entries", {}) if leaf.get("state") == _VALUE else {}
        leaf.clear()
        leaf.update({"state": _VALUE, _MAP: {"entries": {**entries, entry: text}}})
        return
    if parent in MAPS:
        raise ClientError(f"{parent} is a map; name an entry, as in {parent}.NAME=VALUE")
    leaf.clear()
    leaf.update(new_leaf(parent, text))


def new_leaf(key: str, text: str) -> Message:
    """Return what a key says when it is set to a text."""
    kind = KINDS[key]
    return {"state": _VALUE, kind.field: kind.parse(key, text)}


def _split(name: str) -> tuple[str, str | None]:
    """Return a key, and the entry of its map if it names one."""
    first, dot, rest = name.partition(".")
    if first in MAPS and dot:
        if not rest:
            raise ClientError(f"{name!r} names no entry; write it as {first}.NAME")
        return first, rest
    _require_known(name)
    return name, None


def _require_known(name: str) -> None:
    if name in KINDS or name in MAPS:
        return
    raise ClientError(f"{name!r} is no setting; there are {', '.join([*KINDS, *MAPS])}")


def _find(found: dict[str, Any], name: str) -> Leaf:
    """Return the leaf of a key, made if it is not there."""
    leaf = found
    for part in name.split("."):
        leaf = leaf.setdefault(_camel_case(part), {})
    return leaf


def _leaves(found: Message) -> Iterator[tuple[str, Message]]:
    for name in [*KINDS, *MAPS]:
        leaf: Any = found
        for part in name.split("."):
            leaf = leaf.get(_camel_case(part), {})
        if leaf.get("state"):
            yield name, leaf


def _list_own(found: Message) -> Iterable[str]:
    rows = [(name, _show(leaf)) for name, leaf in _leaves(found)]
    return table(["KEY", "VALUE"], rows)


def _show(leaf: Message) -> str:
    if leaf["state"] == _UNSET:
        return "(unset)"
    if _MAP in leaf:
        entries = leaf[_MAP].get("entries", {})
        return ", ".join(f"{name}={text}" for name, text in sorted(entries.items()))
    if _DEVICE.field in leaf:
        return str(leaf[_DEVICE.field].get("device", ""))
    for kind in (_STRING, _INTEGER, _QUANTITY, _BOOLEAN):
        if kind.field in leaf:
            return str(leaf[kind.field]).lower() if kind is _BOOLEAN else str(leaf[kind.field])
    return ""


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
