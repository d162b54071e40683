"""
Renders ``docs/audit-events.md``: each kind of act that the audit log records, from the calls that do so.

A kind is a literal "noun.verb" in a function that records; its meaning is the first line of the
function's docstring.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_ROOT = Path(__file__).parent.parent
PAGE = _ROOT / "docs" / "audit-events.md"
_USE_CASES = _ROOT / "controlplane" / "usecases"
_RECORDERS = re.compile(r"record|audit", re.IGNORECASE)
_KIND = re.compile(r"^[a-z_]+\.[a-z_]+$")
_ERRORS = re.compile(r"(?:[;.]|, else) *(?:[A-Z]\w+Error(?:, )?)+(?: when [^.]*)?\.?$")

_HEAD = """\
# Audit log: acts

Written by `make docs` from the use cases that record them; edit those.

`volary audit list --action KIND` lists the records of a kind, and `volary audit export` all of them, as JSON: number,
time, actor, kind, target, outcome (`done` or `refused`), the caller's address, the request's id, and details.
Each record has the hash of the one before; `volary audit verify` finds the first that was changed or removed.

In addition to these there are `delivery_config.…` and `notification_rule.…`, of notifications: `create`, `update` and
`delete`, and `rotate_signing_secret` of the former.

| Kind | What was asked for |
|---|---|
"""


def audit_page() -> str:
    """Render the page as Markdown."""
    rows = [f"| `{kind}` | {meaning} |\n" for kind, meaning in sorted(find_kinds().items())]
    return "".join([_HEAD, *rows])


def find_kinds() -> Mapping[str, str]:
    """Return the meaning of each kind of act; of several use cases, all of their first lines."""
    found: dict[str, dict[str, None]] = {}
    for module in sorted(_USE_CASES.rglob("*.py")):
        for kind, meaning in _kinds_of(ast.parse(module.read_text())):
            found.setdefault(kind, {})[meaning] = None
    return {kind: " ".join(each for each in meanings if each) for kind, meanings in found.items()}


def _kinds_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _records(function):
            meaning = _first_sentence(ast.get_docstring(function) or "")
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and _KIND.match(str(node.value)):
                    yield str(node.value), meaning


def _records(function: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call) and _RECORDERS.search(ast.unparse(node.func))
        for node in ast.walk(function)
    )


def _first_sentence(docstring: str) -> str:
    line = docstring.partition("\n")[0].replace("``", "`").replace("|", "&#124;")
    return _ERRORS.sub(".", line)
