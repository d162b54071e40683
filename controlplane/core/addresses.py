"""Addresses of the database."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """URLs of Postgres by purpose; ``fleet`` and ``direct`` may equal ``orgs``."""

    orgs: str = field(repr=False)
    fleet: str = field(repr=False)  # for transactions across orgs
    direct: str = field(repr=False)  # LISTEN and migrations, which need a session without pooler

    @property
    def pooled(self) -> bool:
        """Return whether statements go through a pooler in transaction mode."""
        return self.direct != self.orgs
