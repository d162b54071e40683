"""Clusters: what is wanted of one, what its agent says of itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterWishes:
    """What the control plane wants of a cluster, as state: the latest is the whole truth."""

    version: int
    cordoned: bool
    draining: bool
    pool: str

    @property
    def takes_work(self) -> bool:
        return not (self.cordoned or self.draining)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLoad:
    """What an agent said with its last heartbeat."""

    held: int = 0  # attempts in its ledger
    running: int = 0  # attempts its runtimes have
    slots: int = 0  # assignments it has room for
