"""The agent of a machine: its attempts are processes, its memory is a directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from dataplane.agent.core.setup import SetupError
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.loops.sweeper import Sweeper
from dataplane.agent.main.services import Equipment, run_services
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.choice import (
    PROCESS_CAPABILITIES,
    Choice,
    Runtimes,
    is_inline,
    suits_process,
)
from dataplane.agent.runtimes.environment import Endpoint
from dataplane.agent.runtimes.inline import InlineRuntime
from dataplane.agent.runtimes.machine import FreeMemory
from dataplane.agent.runtimes.process.environment import inherited
from dataplane.agent.runtimes.process.nursery import Nursery
from dataplane.agent.runtimes.process.runtime import ProcessRuntime
from dataplane.agent.runtimes.unsupported import PROCESS, UnsupportedRuntime
from dataplane.agent.settings import ProcessSettings, Settings
from shared.kit.clock import SystemClock


class DataDirectoryError(SetupError):
    """The data directory cannot be used; the message names the remedy."""


async def run_processes(settings: Settings, own: ProcessSettings) -> None:
    clock = SystemClock()
    base = inherited(os.environ)
    with _hold(own.data_dir):
        async with Ledger.open(own.data_dir / "ledger.sqlite3") as ledger:
            stores = Stores(clock)
            nursery = Nursery(base, own.data_dir, clock, warm=own.warm)
            process = ProcessRuntime(
                root=own.data_dir / "attempts",
                nursery=nursery,
                stores=stores,
                base=base,
                endpoint=Endpoint(address=own.public_endpoint, insecure=own.public_insecure),
                grace=settings.grace,
                clock=clock,
            )
            await process.kill_unheld(ledger.held)
            runtimes = Runtimes(
                choices=[
                    Choice(is_inline, InlineRuntime(stores, clock)),
                    Choice(lambda job: suits_process(job.task), process),
                ],
                unsupported=UnsupportedRuntime(PROCESS),
                capabilities=PROCESS_CAPABILITIES,
            )
            sweeper = Sweeper(ledger, process, clock, retention=settings.retention)
            equipment = Equipment(
                ledger=ledger,
                runtimes=runtimes,
                logs=process,
                fenced=process,
                free_memory=FreeMemory(clock),
                take_along=settings.grace + timedelta(seconds=10) if own.stop_attempts else None,
                also={"nursery": nursery.run, "sweeper": sweeper.run},
            )
            await run_services(settings, equipment, clock)


@contextmanager
def _hold(directory: Path) -> Iterator[None]:
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
