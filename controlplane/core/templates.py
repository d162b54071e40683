"""
Templates of notifications: text with fields such as ``{{.Run.Name}}``. PURE.

The subset of Go's text/template that substitutes fields. No conditions, functions or pipelines:
a template of a customer runs no code, and what this does not understand is refused when the
template is given, rather than sent as it stands.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from controlplane.core.errors import InvalidError

_OPENING = "{{"
_FIELD = re.compile(r"\{\{\s*\.([A-Za-z]+(?:\.[A-Za-z]+)*)\s*\}\}")
_MOST_SHOWN = 60  # characters of a template in an error


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: texts, and between each two of them the name of a field."""

    texts: tuple[str, ...]
    fields: tuple[str, ...]

    def render(self, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
        """Return the text with the values of its fields, each of them escaped."""
        parts = [self.texts[0]]
        for name, text in zip(self.fields, self.texts[1:], strict=True):
            parts += [escape(values[name]), text]
        return "".join(parts)

    @property
    def literal(self) -> str:
        """The text without its fields."""
        return "".join(self.texts)


def parse_template(source: str, field: str, known: Collection[str]) -> Template:
    """Parse a template; InvalidError names ``field``, what is wrong in it and what ``known`` is."""
    texts: list[str] = []
    names: list[str] = []
    start = 0
    while (opening := source.find(_OPENING, start)) >= 0:
        found = _FIELD.match(source, opening)
        shown = source[opening : opening + _MOST_SHOWN]
        may = f"use {', '.join(f'{{{{.{each}}}}}' for each in sorted(known))}"
        if found is None:
            raise InvalidError(
                f"{field}: {shown!r} is not a field; conditions and functions are not supported: {may}"
            )
        if found[1] not in known:
            raise InvalidError(f"{field}: there is no field {found[0]}; {may}")
        texts.append(source[start:opening])
        names.append(found[1])
        start = found.end()
    return Template((*texts, source[start:]), tuple(names))
