"""Builds every object of the agent once, and runs its services in one task group."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.link.channel import Token
from dataplane.agent.link.connection import Connection
from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.loops.fence import Fence
from dataplane.agent.loops.followers import Followers
from dataplane.agent.loops.keeper import Keeper
from dataplane.agent.loops.sweeper import Sweeper
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.choice import PROCESS_CAPABILITIES, Runtimes, suits_process
from dataplane.agent.runtimes.inline import InlineRuntime
from dataplane.agent.runtimes.machine import FreeMemory
from dataplane.agent.runtimes.process.environment import Endpoint, inherited
from dataplane.agent.runtimes.process.nursery import Nursery
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from dataplane.agent.runtimes.unsupported import PROCESS, UnsupportedRuntime
from dataplane.agent.settings import Settings
from shared.kit.clock import SystemClock
from shared.kit.waking import Bell


class DataDirectoryError(Exception):
    """The data directory cannot be used; the message names the remedy."""


async def run_agent(settings: Settings) -> None:
    """Run until cancelled; the first service to fail stops the others."""
    clock = SystemClock()
    base = inherited(os.environ)
    with _own(settings.data_dir):
        async with Ledger.open(settings.data_dir / "ledger.sqlite3") as ledger:
            stores = Stores(clock)
            nursery = Nursery(base, settings.data_dir, clock, warm=settings.warm)
            process = ProcessRuntime(
                root=settings.data_dir / "attempts",
                nursery=nursery,
                stores=stores,
                base=base,
                endpoint=Endpoint(
                    address=settings.public_endpoint, insecure=settings.public_insecure
                ),
                grace=settings.grace,
                clock=clock,
            )
            runtimes = Runtimes(
                inline=InlineRuntime(stores, clock),
                main=process,
                suits_main=suits_process,
                unsupported=UnsupportedRuntime(PROCESS),
                capabilities=PROCESS_CAPABILITIES,
            )
            bell = Bell()
            take_along = settings.grace + timedelta(seconds=10) if settings.stop_attempts else None
            attempts = Attempts(ledger, runtimes, bell, clock, take_along=take_along)
            followers = Followers(process, bell)
            fence = Fence(ledger, attempts, process, clock, grace=settings.grace)
            keeper = Keeper(
                ledger=ledger,
                attempts=attempts,
                followers=followers,
                fence=fence,
                bell=bell,
                slots=settings.slots,
                free_memory=FreeMemory(clock),
                clock=clock,
            )
            connection = Connection(
                addresses=settings.control_plane,
                token=Token(settings.token_file),
                ca_file=settings.ca_file,
                capabilities=runtimes.capabilities,
                ledger=ledger,
                desk=keeper,
                clock=clock,
            )
            sweeper = Sweeper(ledger, process, clock, retention=settings.retention)
            async with asyncio.TaskGroup() as services:
                services.create_task(nursery.run(), name="nursery")
                services.create_task(attempts.run(), name="attempts")
                services.create_task(followers.run(), name="followers")
                services.create_task(fence.run(), name="fence")
                services.create_task(connection.run(), name="connection")
                services.create_task(sweeper.run(), name="sweeper")


@contextmanager
def _own(directory: Path) -> Iterator[None]:
    """Hold the data directory, so that no second agent works on it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirectoryError(
            f"{directory} cannot be used: {error.strerror}; give a directory this user may "
            "write to with --data-dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise DataDirectoryError(
            f"another agent works in {directory}; stop it, or give another --data-dir"
        ) from error
    finally:
        os.close(descriptor)
