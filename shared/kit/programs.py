"""How a program of ours runs and ends: cancelling is stopping, and a signal cancels."""

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from datetime import timedelta

import uvloop

_log = logging.getLogger(__name__)

_STOP_WITHIN = timedelta(minutes=1)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_signalled(program: Coroutine[None, None, None]) -> None:
    """
    Run ``program`` until it ends or a signal asks it to; return only when it has stopped.

    The first signal cancels it; another one cancels every task that is taking its time. A
    program that has not stopped a minute after the first is left as it is, with exit code 1.
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
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    asked = 0

    def stop(number: int) -> None:
        nonlocal asked
        asked += 1
        _log.info(
            "stopping" if asked == 1 else "stopping at once",
            extra={"signal": signal.Signals(number).name},
        )
        if asked == 1:
            loop.call_later(_STOP_WITHIN.total_seconds(), _leave)
        for each in asyncio.all_tasks() if asked > 1 else {task}:
            each.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await program
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _leave() -> None:
    _log.error("it does not stop; leaving it as it is")
    logging.shutdown()
    os._exit(1)


def _single(error: BaseException) -> BaseException:
    """Task groups wrap even a lone failure; nobody is helped by the wrapping."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
