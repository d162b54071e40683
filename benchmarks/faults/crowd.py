"""
Many idle agents in one process: the agent's real link with a stub session handler.

``python -m benchmarks.faults.crowd HOST:PORT DIRECTORY`` connects one agent for each token
file in the directory, each over its own connection.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import uvloop

from dataplane.agent.link.channel import Token
from dataplane.agent.link.connection import Connection
from shared.kit.clock import SystemClock
from shared.kit.wakeup import Wakeup
from shared.model.link_messages import AgentMessage, Lease, Welcome, Work


@dataclass(slots=True)
class Idler:
    """Session handler and ledger of an agent without attempts."""

    wakeup: Wakeup = field(default_factory=Wakeup)
    agent_id: str = field(default_factory=lambda: str(uuid4()))
    last_epoch: int = 0

    async def begin(self) -> Sequence[Lease]:
        return ()

    async def welcome(self, welcome: Welcome) -> None:
        self.last_epoch = welcome.epoch

    async def record_heartbeat(self, at: datetime) -> None: ...

    async def take(self, message: Work) -> None: ...

    async def end_attempts(self) -> tuple[int, int]:
        return 0, 0

    def capacity(self) -> int:
        return 10

    def holding(self) -> "tuple[int, int]":
        return 0, 0

    def due(self) -> Sequence[AgentMessage]:
        return ()

    async def end(self) -> None: ...


async def run_agents(address: str, tokens: Sequence[Path]) -> None:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="host:port of the agents' link")
    parser.add_argument("directory", type=Path, help="holds one token file for each agent")
    options = parser.parse_args()
    uvloop.run(run_agents(options.address, sorted(options.directory.iterdir())))


if __name__ == "__main__":
    main()
