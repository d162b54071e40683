"""Converts scoped settings to flyteidl2's Settings and back, by the dotted keys of its fields."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from flyteidl2.core.tasks_pb2 import GPUAccelerator
from flyteidl2.settings.settings_definition_pb2 import (
    AcceleratorSetting,
    Settings as SettingsMessage,
    SettingsKey,
    StringMapSetting,
)
from flyteidl2.settings.settings_service_pb2 import SettingsRecord as RecordMessage
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor

from controlplane.api.convert.strings import parse_text
from controlplane.core.errors import InvalidError
from controlplane.core.scoped_settings import Effective, Setting, Settings, SettingsRecord
from controlplane.core.scopes import Scope, parse_scope
from controlplane.core.setting_rules import Value
from shared.model.ids import OrgName

_INHERIT, _UNSET, _VALUE = 0, 1, 2
_MAX_DEVICE = 63  # it is the value of a node's label


def parse_key(message: SettingsKey) -> Scope:
    return parse_scope(message.domain, message.project, field="key", what="the settings")


def parse_settings(message: SettingsMessage) -> Settings:
    """Parse what one scope says; keys that are inherited are left out."""
    settings: dict[str, Setting] = {}
    for key in list_keys():
        leaf = _find(message, key)
        if leaf is None or leaf.state == _INHERIT:
            continue
        if leaf.state not in (_UNSET, _VALUE):
            raise InvalidError(f"{key}: state {leaf.state} is not known; use INHERIT, UNSET, VALUE")
        settings[key] = Setting(_parse_value(key, leaf) if leaf.state == _VALUE else None)
    return settings


def render_record(org: OrgName, record: SettingsRecord) -> RecordMessage:
    message = SettingsMessage()
    for key, setting in record.settings.items():
        leaf = _make(message, key)
        if leaf is None:
            continue  # a later release's
        leaf.state = _UNSET if setting.value is None else _VALUE
        if setting.value is not None:
            _render_value(leaf, setting.value)
    return RecordMessage(key=_key(org, record.scope), settings=message, version=record.version)


def render_effective(org: OrgName, record: SettingsRecord, effective: Effective) -> RecordMessage:
    """Render what applies in a scope, each value with the level that it is from."""
    message = SettingsMessage()
    for key, in_force in effective.items():
        leaf = _make(message, key)
        if leaf is None:
            continue
        leaf.state, leaf.scope_level = _VALUE, in_force.level.value
        _render_value(leaf, in_force.value)
    return RecordMessage(key=_key(org, record.scope), settings=message, version=record.version)


def parse_accelerator(text: str) -> GPUAccelerator:
    """Read an accelerator as settings store it."""
    message = GPUAccelerator()
    json_format.Parse(text, message, ignore_unknown_fields=True)
    return message


@cache
def list_keys() -> Mapping[str, None]:
    """Return the dotted keys of flyteidl2's Settings, in the order of their fields."""
    return dict.fromkeys(_list_keys(SettingsMessage.DESCRIPTOR))


def _list_keys(descriptor: Descriptor) -> Iterator[str]:
    for field in descriptor.fields:
        kind: Any = field.message_type
        if "state" in kind.fields_by_name:
            yield field.name
        else:
            yield from (f"{field.name}.{key}" for key in _list_keys(kind))


def _find(message: Any, key: str) -> Any | None:
    for name in key.split("."):
        if not message.HasField(name):
            return None
        message = getattr(message, name)
    return message


def _make(message: Any, key: str) -> Any | None:
    if key not in list_keys():
        return None
    for name in key.split("."):
        message = getattr(message, name)
    return message


def _field(leaf: Any) -> str:
    """Return the name of the field with a leaf's value."""
    names: Sequence[str] = list(leaf.DESCRIPTOR.fields_by_name)
    return next(name for name in names if name.endswith("_value"))


def _parse_value(key: str, leaf: Any) -> Value:
    if isinstance(leaf, StringMapSetting):
        return {
            parse_text(name, key): parse_text(text, f"{key}.{name}", most=64 * 1024)
            for name, text in leaf.map_value.entries.items()
        }
    if isinstance(leaf, AcceleratorSetting):
        return _parse_accelerator(key, leaf.accelerator_value)
    value = getattr(leaf, _field(leaf))
    return parse_text(value, key) if isinstance(value, str) else value


def _parse_accelerator(key: str, message: GPUAccelerator) -> str:
    """Nodes are labelled by names that no list has, so any device is taken; a class must be known."""
    if not message.device:
        raise InvalidError(f"{key}: names no device; give one such as nvidia-l4")
    parse_text(message.device, f"{key}.device", most=_MAX_DEVICE)
    parse_text(message.partition_size, f"{key}.partition_size", most=_MAX_DEVICE)
    for name in ("device_class", "accelerator_model"):
        enum = GPUAccelerator.DESCRIPTOR.fields_by_name[name].enum_type
        if getattr(message, name) not in enum.values_by_number:
            raise InvalidError(f"{key}: {name} {getattr(message, name)} is not known")
    return json_format.MessageToJson(message, indent=None, preserving_proto_field_name=True)


def _render_value(leaf: Any, value: Value) -> None:
    if isinstance(leaf, StringMapSetting):
        if isinstance(value, Mapping):
            leaf.map_value.entries.update(value)
    elif isinstance(leaf, AcceleratorSetting):
        leaf.accelerator_value.CopyFrom(parse_accelerator(str(value)))
    else:
        setattr(leaf, _field(leaf), value)


def _key(org: OrgName, scope: Scope) -> SettingsKey:
    return SettingsKey(org=org, domain=scope.domain, project=scope.project)
