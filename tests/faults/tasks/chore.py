"""The task of the fault tests; a0 imports this as a user's module."""

# As users write code:
# ruff: noqa: TID251

import asyncio
import json
import os
import time

import flyte

env = flyte.TaskEnvironment(name="faults")


@env.task
async def chore(ledger: str, milliseconds: int) -> int:
    """Append a start record to the ledger, sleep, append an end record; one write each."""
    _note(ledger, "began")
    await asyncio.sleep(milliseconds / 1000)
    _note(ledger, "ended")
    return milliseconds


def _note(ledger: str, what: str) -> None:
    note = {
        "attempt": os.environ["VOLARY_ATTEMPT"],
        "what": what,
        "pid": os.getpid(),
        "at": time.time(),
    }
    descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, (json.dumps(note) + "\n").encode())
    os.close(descriptor)
