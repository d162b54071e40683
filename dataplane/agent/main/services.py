"""What every agent does, whatever its attempts run in."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.link.channel import Token
from dataplane.agent.link.connection import Connection
from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.loops.fence import Fence, Fenced
from dataplane.agent.loops.followers import Followed, Followers
from dataplane.agent.loops.keeper import Keeper
from dataplane.agent.runtimes.choice import Runtimes
from dataplane.agent.settings import Settings
from shared.kit.clock import Clock
from shared.kit.waking import Bell


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What differs from runtime to runtime."""

    ledger: Ledger
    runtimes: Runtimes
    logs: Followed
    fenced: Fenced
    free_memory: Callable[[], int]  # bytes that are left for attempts
    take_along: timedelta | None = None  # stop attempts when the agent ends
    also: Mapping[str, Callable[[], Coroutine[None, None, None]]] = field(default_factory=dict)


async def run_services(settings: Settings, equipment: Equipment, clock: Clock) -> None:
    """Run until cancelled, or until the first service fails."""
    bell = Bell()
    ledger = equipment.ledger
    attempts = Attempts(ledger, equipment.runtimes, bell, clock, take_along=equipment.take_along)
    followers = Followers(equipment.logs, bell)
    fence = Fence(ledger, attempts, equipment.fenced, clock, grace=settings.grace)
    keeper = Keeper(
        ledger=ledger,
        attempts=attempts,
        followers=followers,
        fence=fence,
        bell=bell,
        slots=settings.slots,
        free_memory=equipment.free_memory,
        clock=clock,
    )
    connection = Connection(
        addresses=settings.control_plane,
        token=Token(settings.token_file),
        ca_file=settings.ca_file,
        capabilities=equipment.runtimes.list_capabilities,
        ledger=ledger,
        desk=keeper,
        clock=clock,
    )
    async with asyncio.TaskGroup() as services:
        for name, run in equipment.also.items():
            services.create_task(run(), name=name)
        services.create_task(attempts.run(), name="attempts")
        services.create_task(followers.run(), name="followers")
        services.create_task(fence.run(), name="fence")
        services.create_task(connection.run(), name="connection")
