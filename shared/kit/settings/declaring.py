"""Declares settings: a class for each group, a field for each setting."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform, overload

from shared.kit.settings.kinds import Kind

T = TypeVar("T")
D = TypeVar("D")

_SETTING = "setting"  # key of the metadata of a dataclass's field
_GROUP = "__settings_group__"

REQUIRED = object()
"""Default of a setting that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything declared about one setting."""

    variable: str  # the environment variable
    kind: Kind[Any]
    description: str  # sentences in Markdown
    default: object = REQUIRED
    default_factory: Callable[[], object] | None = None
    default_text: str = ""  # describes a default that is no constant
    off_option: str = ""  # name of the option that sets a flag to false
    groups: Mapping[str, type] = dataclasses.field(default_factory=dict)
    """Groups by value: only the group of the chosen value is read."""

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED and self.default_factory is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Settings that belong together, with their title and an introduction in Markdown."""

    title: str
    introduction: str
    only_with: str  # "" or the option with which these apply, "--runtime process"
    settings: Sequence[Setting]


@overload
def setting(
    variable: str, kind: Kind[T], description: str, *, off_option: str = ""
) -> T: ...  # required
@overload
def setting(
    variable: str,
    kind: Kind[T],
    description: str,
    *,
    default: D,
    default_text: str = "",
    off_option: str = "",
) -> T | D: ...
@overload
def setting(
    variable: str,
    kind: Kind[T],
    description: str,
    *,
    default_factory: Callable[[], T],
    default_text: str,
) -> T: ...
def setting(
    variable: str,
    kind: Kind[Any],
    description: str,
    *,
    default: object = REQUIRED,
    default_factory: Callable[[], object] | None = None,
    default_text: str = "",
    off_option: str = "",
) -> Any:
    """
    Declare a setting as a field's value in a class decorated with ``settings``.

    Without a default it is required. ``default_text`` describes a default that is no constant:
    that of ``default_factory`` (which raises ValueError if there is none), or what the program
    does when it is None.
    """
    declared = Setting(
        variable=variable,
        kind=kind,
        description=description,
        default=default,
        default_factory=default_factory,
        default_text=default_text,
        off_option=off_option,
    )
    metadata = {_SETTING: declared}
    if default_factory is not None:
        return dataclasses.field(metadata=metadata, default_factory=default_factory)
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata)
    # A factory, because dataclasses refuse defaults that are lists or dicts.
    return dataclasses.field(metadata=metadata, default_factory=lambda: default)


def chosen(
    variable: str,
    groups: Mapping[str, type[T]],
    description: str,
    *,
    default: str,
) -> T:
    """Declare a field that is one of several groups, chosen by the value of a setting."""

    def parse(text: str) -> str:
        if text.lower() not in groups:
            raise ValueError
        return text.lower()

    declared = Setting(
        variable=variable,
        kind=Kind(
            accepts=f"one of {', '.join(groups)}",
            parse=parse,
            metavar=f"[{'|'.join(groups)}]",
        ),
        description=description,
        default=default,
        groups=groups,
    )
    made: Any = dataclasses.field(metadata={_SETTING: declared})
    return made  # type: ignore[no-any-return]  # dataclasses replace it


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(setting, chosen, dataclasses.field),
)
def settings(
    title: str, introduction: str = "", *, only_with: str = ""
) -> Callable[[type[T]], type[T]]:
    """
    Make a class a group of settings: a frozen dataclass with keyword arguments.

    Its fields are settings (``setting``), other groups, or values that no setting changes.
    """

    def decorate(cls: type[T]) -> type[T]:
        made: Any = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        declared = tuple(own for field in dataclasses.fields(made) if (own := setting_of(field)))
        group = Group(
            title=title, introduction=introduction, only_with=only_with, settings=declared
        )
        setattr(made, _GROUP, group)
        return made  # type: ignore[no-any-return]  # cls, with slots

    return decorate


def setting_of(field: "dataclasses.Field[Any]") -> Setting | None:
    """Return the setting that a dataclass's field declares."""
    declared = field.metadata.get(_SETTING)
    return declared if isinstance(declared, Setting) else None


def group_of(cls: object) -> Group | None:
    """Return the group that a class declares by ``settings``."""
    found = getattr(cls, _GROUP, None)
    return found if isinstance(found, Group) else None


def groups_of(cls: type) -> Iterator[Group]:
    """Iterate over the group of a class and all groups that it contains, in their order."""
    own = group_of(cls)
    if own is None:
        return
    yield own
    for field in dataclasses.fields(cls):
        declared = setting_of(field)
        for each in declared.groups.values() if declared else (field.type,):
            if isinstance(each, type):
                yield from groups_of(each)


def variables_of(cls: type) -> Sequence[str]:
    """Return the variables of a class's settings, and of those of the groups it contains."""
    return [each.variable for group in groups_of(cls) for each in group.settings]
