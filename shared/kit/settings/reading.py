"""Reads groups of settings from environment variables and options of a command line."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from shared.kit.settings.declaring import Setting, group_of, setting_of

T = TypeVar("T")

_SHOWN = 100  # characters of an invalid value in an error
_SIMILAR = 0.75  # of two names, from 0 to 1

_UNSET = object()
_INVALID = object()


class SettingsError(Exception):
    """Settings are missing or invalid; the message names each, and the remedy."""


@dataclass(frozen=True, slots=True)
class Given:
    """Texts given for a setting by an option, which comes before its variable."""

    option: str  # for errors, with dashes
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable with a program's prefix that is none of its settings."""

    variable: str
    nearest: str  # the most similar setting, or ""


def read(
    cls: type[T], environment: Mapping[str, str], options: Mapping[str, Given] | None = None
) -> T:
    """
    Build a group of settings, and the groups it contains.

    ``options`` are by the name of the variable. An empty variable counts as unset. SettingsError
    names everything that is wrong, not only the first.
    """
    reader = _Reader(environment, options or {})
    made = reader.build(cls)
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return made  # type: ignore[no-any-return]  # built from cls


def find_unknown(
    environment: Iterable[str], known: Sequence[str], *, prefix: str, others: Sequence[str] = ()
) -> Sequence[UnknownVariable]:
    """
    Return variables that begin with ``prefix`` and are none of ``known``, sorted.

    ``others`` are prefixes of variables that other programs read.
    """
    # Without the prefix, which would make all names similar.
    names = {each.removeprefix(prefix): each for each in known}
    found = []
    for each in sorted(environment):
        if each.startswith(prefix) and each not in known and not each.startswith(tuple(others)):
            near = get_close_matches(each.removeprefix(prefix), names, 1, _SIMILAR)
            found.append(UnknownVariable(each, names[near[0]] if near else ""))
    return found


class _Reader:
    def __init__(self, environment: Mapping[str, str], options: Mapping[str, Given]) -> None:
        self._environment = environment
        self._options = options
        self.problems: list[str] = []

    def build(self, cls: type) -> Any:
        """Return an instance, or ``_INVALID`` after recording what is wrong."""
        values: dict[str, object] = {}
        for field in dataclasses.fields(cls):
            declared = setting_of(field)
            if declared is not None:
                values[field.name] = self._value(declared)
            elif isinstance(field.type, type) and group_of(field.type):
                values[field.name] = self.build(field.type)
        if any(value is _INVALID for value in values.values()):
            return _INVALID
        try:
            return cls(**{name: value for name, value in values.items() if value is not _UNSET})
        except ValueError as error:
            self.problems.append(f"{self._names(cls)}: {error}")
        except SettingsError as error:
            self.problems.append(str(error))
        return _INVALID

    def _value(self, declared: Setting) -> object:
        value = self._own_value(declared)
        if declared.groups and value is not _INVALID:
            return self.build(declared.groups[str(declared.default if value is _UNSET else value)])
        return value

    def _own_value(self, declared: Setting) -> object:
        given = self._given(declared)
        if given is None:
            return self._default(declared)
        try:
            return declared.kind.parse_all(given.texts)
        except ValueError as error:
            self.problems.append(_describe_invalid(declared, given, str(error)))
            return _INVALID

    def _default(self, declared: Setting) -> object:
        name = _name(declared, self._options)
        if declared.is_required:
            self.problems.append(f"{name} is not set; set it to {declared.kind.accepts}")
            return _INVALID
        if declared.default_factory is not None:
            try:
                return declared.default_factory()
            except ValueError as error:
                self.problems.append(
                    f"{name} is not set, and {error}; set it to {declared.kind.accepts}"
                )
                return _INVALID
        return _UNSET

    def _given(self, declared: Setting) -> Given | None:
        option = self._options.get(declared.variable)
        texts = [text for text in option.texts if text] if option else []
        if option and texts:
            return Given(option.option, texts)
        text = self._environment.get(declared.variable, "").strip()
        if not text:
            return None
        return Given(declared.variable, text.split() if declared.kind.join else [text])

    def _names(self, cls: type) -> str:
        declared = [setting_of(field) for field in dataclasses.fields(cls)]
        names = [given.option for each in declared if each and (given := self._given(each))]
        return ", ".join(names)


def _name(declared: Setting, options: Mapping[str, Given]) -> str:
    """Name a setting that is not set: by its option too, if the program has options."""
    option = options.get(declared.variable)
    return f"{option.option} ({declared.variable})" if option else declared.variable


def _describe_invalid(declared: Setting, given: Given, reason: str) -> str:
    if declared.kind.is_secret:
        return f"{given.option} is invalid: {reason}; set it to {declared.kind.accepts}"
    value = " ".join(given.texts)
    shown = repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")
    why = f": {reason}" if reason else ""
    return f"{given.option} is {shown}{why}; set it to {declared.kind.accepts}"
