"""
Binds page tokens to the question that they continue, so that a changed one is refused.

The tokens of the lists themselves hold the last row's values and the sort order, not the filters:
without this, a client that changes its filters between pages would miss rows without an error.
"""

import hashlib
import json
from collections.abc import Sequence

from controlplane.core.errors import InvalidError

_DIGITS = 12  # 48 bits: a check against mistakes, not against forgers


def bind_token(token: str, question: Sequence[str]) -> str:
    """Return the token for clients; "", the end of a list, stays as it is."""
    return f"{token}.{_digest(question)}" if token else ""


def open_token(bound: str, question: Sequence[str]) -> str:
    """Return the list's own token; InvalidError if it was bound to another question."""
    if not bound:
        return ""
    token, _, digest = bound.rpartition(".")
    if not token or digest != _digest(question):
        raise InvalidError(
            "token: is for another list, or for other filters or another order; repeat the"
            " parameters of the first page, or start at it without a token"
        )
    return token


def _digest(question: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(question)).encode()).hexdigest()[:_DIGITS]
