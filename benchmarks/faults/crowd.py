"""
A crowd of idle agents in one process: the agent's own link, and nothing behind it.

``python -m benchmarks.faults.crowd HOST:PORT DIRECTORY`` has one for each token in the
directory, each with a connection of its own.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import uvloop

from dataplane.agent.core.messages import AgentMessage, Lease, Welcome, Work
from dataplane.agent.link.channel import Token
from dataplane.agent.link.connection import Connection
from shared.kit.clock import SystemClock
from shared.kit.wakeup import Wakeup


@dataclass(slots=True)
class Idler:
    """A desk where nothing happens, and the ledger of that."""

    wakeup: Wakeup = field(default_factory=Wakeup)
    agent_id: str = field(default_factory=lambda: str(uuid4()))
    last_epoch: int = 0

    async def begin(self) -> Sequence[Lease]:
        return ()

    async def welcome(self, welcome: Welcome) -> None:
        self.last_epoch = welcome.epoch

    async def record_heartbeat(self, at: datetime) -> None: ...

    async def take(self, message: Work) -> None: ...

    def capacity(self) -> int:
        return 10

    def holding(self) -> "tuple[int, int]":
        return 0, 0

    def due(self) -> Sequence[AgentMessage]:
        return ()

    async def end(self) -> None: ...


async def stand(address: str, tokens: Sequence[Path]) -> None:
    async with asyncio.TaskGroup() as crowd:
        for token in tokens:
            idler = Idler()
            connection = Connection(
                addresses=[address],
                token=Token(token),
                ca_file=None,
                capabilities=tuple,
                ledger=idler,  # type: ignore[arg-type]
                handler=idler,
                clock=SystemClock(),
            )
            crowd.create_task(connection.run())


if __name__ == "__main__":
    uvloop.run(stand(sys.argv[1], sorted(Path(sys.argv[2]).iterdir())))
