"""
Finds the route of a method and a path.

Segments are separated before they are decoded, so that a name may hold a ``/``, as ``%2F``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from controlplane.api.resources.route import BASE, Route
from controlplane.core.errors import InvalidError


@dataclass(frozen=True, slots=True)
class Found:
    """The routes of a path, by their method, and the values of the path's parameters."""

    routes: Mapping[str, Sequence[Route]]
    values: Mapping[str, str]


@dataclass(slots=True)
class _Node:
    """The routes that share the first segments of their path."""

    routes: dict[str, list[Route]] = field(default_factory=dict)
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameters: dict[str, "_Node"] = field(default_factory=dict)
    """By the verb that ends the segment, "" without one."""


class Paths:
    """A tree of paths, by segment; parameters at one place all have the same name."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._names: dict[int, str] = {}
        for route in routes:
            node = self._root
            for segment in (BASE + route.path).split("/")[1:]:
                node = self._below(node, segment)
            node.routes.setdefault(route.method, []).append(route)

    def _below(self, node: _Node, segment: str) -> _Node:
        if not segment.startswith("{"):
            return node.literals.setdefault(segment, _Node())
        name, _, verb = segment[1:].partition("}")
        below = node.parameters.setdefault(verb, _Node())
        self._names[id(below)] = name
        return below

    def find(self, path: bytes) -> Found | None:
        """Return the routes of a path as it was sent, None if there are none."""
        node, values = self._root, {}
        for raw in path.split(b"/")[1:]:
            segment = _decode(raw)
            below = node.literals.get(segment)
            if below is None:
                below, value = _parameter(node, segment)
                if below is None:
                    return None
                values[self._names[id(below)]] = value
            node = below
        return Found(node.routes, values) if node.routes else None


def _parameter(node: _Node, segment: str) -> tuple[_Node | None, str]:
    """Return the node below for a parameter, by the verb at its end if there is a node for it."""
    name, colon, verb = segment.rpartition(":")
    if colon and f":{verb}" in node.parameters:
        return node.parameters[f":{verb}"], name
    return node.parameters.get(""), segment


def _decode(segment: bytes) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise InvalidError("the path is not UTF-8") from error
