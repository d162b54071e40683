"""Identifiers and docstrings use the field's words; ``docs/glossary.md`` is the list."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("benchmarks", "controlplane", "dataplane", "scripts", "shared", "tests")

# The word on the left is not used in identifiers; the one on the right is the field's.
REPLACED = {
    "bell": "wakeup",
    "dawdle": "handshake timeout",
    "desk": "session handler",
    "door": "proxy, service, endpoint",
    "foundations": "bootstrap",
    "goodbye": "cleanup timeout",
    "heed": "check",
    "keeper": "session handler",
    "kin": "run lineage",
    "news": "status update",
    "nobody": "anonymous",
    "nursery": "spawner",
    "obstacle": "pending reason",
    "obstacles": "pending reasons",
    "patience": "timeout",
    "somebody": "caller",
    "surroundings": "observation context",
    "tempo": "link timings",
    "turnstile": "admission limiter",
    "verdict": "ack status, outcome, decision",
    "verdicts": "decisions",
    "wish": "request, spec, option",
    "wishes": "requests, spec, options",
}
_OPENING = re.compile(r"^(what|who|whoever|whose|whatever)\b", re.IGNORECASE)
_ADVERBS = re.compile(r"\b(anew|all the same|somebody|nobody|whoever)\b", re.IGNORECASE)
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def _modules() -> list[Path]:
    listed = subprocess.run(  # noqa: S603 - our own words
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *ROOMS],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return [ROOT / name for name in listed if name.endswith(".py") and "_pb2" not in name]


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name():
                yield node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
            case _:
                pass


def _docstrings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and (text := ast.get_docstring(node)):
            yield text


@pytest.mark.parametrize("room", ROOMS)
def test_identifiers_use_the_words_of_the_field(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}: say {REPLACED[word.lower()]}"
        for path in _modules()
        if path.is_relative_to(ROOT / room)
        for name in sorted(set(_identifiers(ast.parse(path.read_text()))))
        for word in _WORDS.findall(name)
        if word.lower() in REPLACED
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_begin_with_a_noun_or_a_verb(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in _modules()
        if path.is_relative_to(ROOT / room)
        for text in _docstrings(ast.parse(path.read_text()))
        if _OPENING.match(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_name_the_subject(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}: {text.splitlines()[0]}"
        for path in _modules()
        if path.is_relative_to(ROOT / room)
        for text in _docstrings(ast.parse(path.read_text()))
        if (match := _ADVERBS.search(text))
    ]
    assert not found, "\n".join(found)
