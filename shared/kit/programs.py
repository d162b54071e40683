"""Runs a program's main coroutine until it ends or a signal (INT, TERM, HUP) cancels it."""

import asyncio
import gc
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
    Run ``program`` until it ends or a signal stops it; return once it has stopped.

    The first signal cancels it; a second one cancels every task that is still running. If the
    program has not stopped a minute after the first signal, the process exits with code 1.
    Exceptions of the program are raised here; a group of one is unwrapped.

    What has been imported is not looked at by the garbage collector again: it never becomes
    garbage, and looking at it once more at the exit took the control plane half a second.
    """
    gc.freeze()
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
    signals = 0

    def stop(number: int) -> None:
        nonlocal signals
        signals += 1
        _log.info(
            "program stopping" if signals == 1 else "program stopping, all tasks cancelled",
            extra={"signal": signal.Signals(number).name},
        )
        if signals == 1:
            loop.call_later(_STOP_WITHIN.total_seconds(), _exit)
        for each in asyncio.all_tasks() if signals > 1 else {task}:
            each.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await program
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _exit() -> None:
    _log.error(
        "program did not stop in time, exiting", extra={"timeout": _STOP_WITHIN.total_seconds()}
    )
    logging.shutdown()
    os._exit(1)


def _single(error: BaseException) -> BaseException:
    """Unwrap exception groups that contain a single exception, as task groups raise."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
