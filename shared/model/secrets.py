"""Names of secrets: an org's own, one of its domains', or one of its projects' in a domain."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shared.model.ids import OrgName

MAX_VALUE_BYTES = 1024 * 1024 - 16 * 1024
"""Most bytes of a value: a Kubernetes Secret holds 1 MiB, of which 16 KiB are left for the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretName:
    """Identifies a secret. ``project`` and ``domain`` are "" where its scope is wider."""

    org: OrgName
    project: str = ""
    domain: str = ""
    name: str

    @property
    def scope(self) -> str:
        """Scope in words: ``project p, domain d``, ``domain d`` or ``the org``."""
        if self.project:
            return f"project {self.project}, domain {self.domain}"
        return f"domain {self.domain}" if self.domain else "the org"

    def __str__(self) -> str:
        return f"{self.name} of {self.scope}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """A secret for one agent; without an envelope, the reason why there is none."""

    asked: str
    name: SecretName | None = None  # None: no scope has it
    envelope: bytes = field(default=b"", repr=False)
    problem: str = ""


def list_candidates(asked: SecretName) -> Sequence[SecretName]:
    """Return the names that a task's key may mean, narrowest scope first: the first one wins."""
    return [asked, replace(asked, project=""), replace(asked, project="", domain="")]
