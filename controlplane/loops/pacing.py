"""How a pass comes round: at its pace, and again after a failure, which it survives."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from controlplane.core.errors import UnavailableError
from shared.kit.clock import Clock

log = logging.getLogger(__name__)


async def come_round(
    name: str, run_once: Callable[[], Awaitable[object]], *, every: timedelta, clock: Clock
) -> None:
    """
    Run a pass for ever. A pass does not retry inside: the next one is the retry.

    Only "the database is away" is survived; anything else is a bug, and ends the program.
    """
    while True:
        try:
            result = await run_once()
            if result:
                log.info("pass did something", extra={"pass": name, "result": result})
        except UnavailableError as error:
            log.warning("pass could not run", extra={"pass": name, "error": str(error)})
        await clock.sleep(every)
