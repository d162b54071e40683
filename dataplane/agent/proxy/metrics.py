"""Counters of the API proxy; the agent's Prometheus endpoint reads them here."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from dataplane.agent.proxy.errors import Code


@dataclass(slots=True)
class Counts:
    calls: Counter[str] = field(default_factory=Counter)  # passed on, by RPC
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)  # by RPC and code
    links: Counter[str] = field(default_factory=Counter)  # requests to the signer, by verb
    streams: int = 0  # open now
    in_flight: int = 0  # unary calls being passed on
    # How long unary calls took, by RPC: how many, and their sum.
    seconds: dict[str, tuple[int, float]] = field(default_factory=dict)

    def passed(self, rpc: str) -> None:
        self.calls[rpc] += 1

    def refused(self, rpc: str, code: Code) -> None:
        """
        Count a rejected call; ``rpc`` is "" for an unknown one: callers may not choose label
        values.
        """
        self.refusals[rpc, code.word] += 1

    @contextmanager
    def calling(self, rpc: str) -> Iterator[None]:
        """Time a unary call that is passed on."""
        begun = perf_counter()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            count, total = self.seconds.get(rpc, (0, 0.0))
            self.seconds[rpc] = count + 1, total + perf_counter() - begun

    @contextmanager
    def streaming(self) -> Iterator[None]:
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1
