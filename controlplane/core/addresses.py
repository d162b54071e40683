"""Where the database is reached."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where Postgres is reached, and for what; ``fleet`` and ``direct`` may be ``orgs``."""

    orgs: str = field(repr=False)
    fleet: str = field(repr=False)  # passes across orgs
    direct: str = field(repr=False)  # LISTEN and migrations, which want a session of their own

    @property
    def pooled(self) -> bool:
        """Whether statements go through a pooler that hands out transactions."""
        return self.direct != self.orgs
