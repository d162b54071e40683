"""Interface of a secret manager, and the ids under which it keeps a task's secrets."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.kit.secrets import SecretBytes
from shared.model.secrets import SecretName

TIMEOUT_SECONDS = 10.0
"""Longest a call to a secret manager may take."""


class SecretManager(Protocol):
    """
    A secret manager. Its methods block the calling thread, and may be called by several threads.

    The libraries are imported and credentials are found when it is made, at the agent's start.
    """

    title: str  # "AWS Secrets Manager"
    most: int  # ids of one call to ``read``

    def id_of(self, name: SecretName) -> str:
        """Return the id of a secret, "" if this manager can have no such secret."""
        ...

    def read(self, ids: Sequence[str]) -> Mapping[str, SecretBytes]:
        """
        Return the current values of those of ``ids`` that exist.

        SecretsUnavailableError: the same call may succeed later. SecretsRefusedError: it is of no
        use to try again, for example because the agent may not read one of them.
        """
        ...

    def close(self) -> None:
        """Close the connections; nothing is read afterwards."""
        ...


class SecretIds:
    """
    Renders ids: prefix, scope, org, domain, project and key, joined by a separator.

    ``prefix/project/<org>/<domain>/<project>/<key>``, ``prefix/domain/<org>/<domain>/<key>`` and
    ``prefix/org/<org>/<key>``. The second part fixes the number of parts, and no part but the key
    contains the separator, so no secret of one scope has the id of another scope's.
    """

    def __init__(self, prefix: str, separator: str, allowed: str) -> None:
        """``allowed``: regular expression of a whole id."""
        self._prefix = prefix
        self._separator = separator
        self._allowed = re.compile(allowed, re.ASCII)

    def render(self, name: SecretName) -> str:
        """Return the id, "" if a part or the id is not allowed."""
        if name.project:
            scope = ["project", name.org, name.domain, name.project]
        elif name.domain:
            scope = ["domain", name.org, name.domain]
        else:
            scope = ["org", name.org]
        if any(self._is_ambiguous(part) for part in scope):
            return ""
        rendered = self._separator.join([self._prefix, *scope, name.name])
        return rendered if self._allowed.fullmatch(rendered) else ""

    def _is_ambiguous(self, part: str) -> bool:
        edge = self._separator[0]
        return self._separator in part or part.startswith(edge) or part.endswith(edge)
