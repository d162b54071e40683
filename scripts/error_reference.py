"""Renders ``docs/errors.md``: the codes of errors, and the reasons why actions wait."""

import ast
import inspect
import tokenize
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path

from controlplane.api.errors import CODES
from controlplane.api.resources.answers import STATUS
from controlplane.core import reason_codes
from controlplane.core.errors import QueueNotFoundError
from controlplane.core.reason_codes import Reason

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"

_HEAD = """\
# Error codes and reasons

Written by `make docs` from the declarations in the code; edit those.

## Errors of calls

Every API answers with the same codes; the message names the thing and the remedy. The HTTP status is
the resource API's ([resource-api.md](resource-api.md)); the other APIs follow Connect's and gRPC's rules.
`internal` (500) is a fault of Volary: its message has the request id that the log has, too.

| Code | HTTP | Meaning |
|---|---|---|
"""

_REASONS = """
## Reasons why an action waits

`volary explain` and the APIs give the code with a sentence; [operations.md](operations.md#why-does-an-action-wait)
has the remedies. Codes of failed attempts are in [failures.md](failures.md).

| Code | Meaning |
|---|---|
"""

_TIMED_OUT = "The call took too long; it can be repeated."


def errors_page() -> str:
    """Render the page as Markdown."""
    codes = [
        f"| `{code.value}` | {STATUS[code]} | {_meaning(error)} |\n"
        for error, code in sorted(CODES.items(), key=lambda each: each[1].value)
        if error is not QueueNotFoundError
    ]
    meanings = _comments()
    reasons = [f"| `{reason}` | {meanings.get(reason.name, '')} |\n" for reason in Reason]
    return "".join([_HEAD, *codes, _REASONS, *reasons])


def _meaning(error: type[Exception]) -> str:
    return _TIMED_OUT if error is TimeoutError else (inspect.getdoc(error) or "").splitlines()[0]


def _comments() -> Mapping[str, str]:
    """Read the comment beside each reason, which says more than its name."""
    source = inspect.getsource(reason_codes)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return dict(_commented(source, comments))


def _commented(source: str, comments: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if comment := next((comments[line] for line in lines if line in comments), ""):
                yield node.targets[0].id, comment
