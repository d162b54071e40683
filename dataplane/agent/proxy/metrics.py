"""Counters of the API proxy; the agent's Prometheus endpoint reads them here."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dataplane.agent.proxy.errors import Code


@dataclass(slots=True)
class Counts:
    calls: Counter[str] = field(default_factory=Counter)  # passed on, by RPC
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)  # by RPC and code
    links: Counter[str] = field(default_factory=Counter)  # requests to the signer, by verb
    streams: int = 0  # open now

    def passed(self, rpc: str) -> None:
        self.calls[rpc] += 1

    def refused(self, rpc: str, code: Code) -> None:
        """
        Count a rejected call; ``rpc`` is "" for an unknown one: callers may not choose label
        values.
        """
        self.refusals[rpc, code.word] += 1

    @contextmanager
    def streaming(self) -> Iterator[None]:
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1
