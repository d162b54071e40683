"""How a program of ours runs and ends: cancelling is stopping, and a signal cancels."""

import asyncio
import logging
import signal
from collections.abc import Coroutine

import uvloop

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_signalled(program: Coroutine[None, None, None]) -> None:
    """
    Run ``program`` until it ends or a signal asks it to; return only when it has stopped.

    The first signal cancels it; another one cancels whatever is taking its time to stop.
    What the program raises is raised here, a group of one as the one.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_signalled(program))
        except asyncio.CancelledError:
            return
        except BaseExceptionGroup as group:
            raise _single(group) from group


async def _signalled(program: Coroutine[None, None, None]) -> None:
    task = asyncio.current_task()
    asked = 0

    def stop(number: int) -> None:
        nonlocal asked
        asked += 1
        _log.info(
            "stopping" if asked == 1 else "stopping at once",
            extra={"signal": signal.Signals(number).name},
        )
        if task is not None:
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await program
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _single(error: BaseException) -> BaseException:
    """Task groups wrap even a lone failure; nobody is helped by the wrapping."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
