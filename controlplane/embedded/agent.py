"""
The agent as our child: started again when it dies, stopped before we are.

The two planes may not import each other, so this knows the agent's command line and
nothing else of it.
"""

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from controlplane.embedded import launching
from shared.kit.clock import Clock

_log = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(seconds=0.5)
_LONGEST_PAUSE = timedelta(seconds=15)
_STEADY = timedelta(seconds=60)
"""An agent that has lived this long has recovered from whatever killed the one before."""

_TIMEOUT = timedelta(seconds=30)
"""For stopping its attempts and saying so, before it is killed."""


class AgentProcess:
    def __init__(self, command: list[str], clock: Clock) -> None:
        self._command = command
        self._clock = clock

    async def run(self) -> None:
        """Keep an agent running until cancelled; then stop it, and return when it has ended."""
        pause = _FIRST_PAUSE
        while True:
            begun = self._clock.now()
            code = await self._live_once()
            if self._clock.now() - begun >= _STEADY:
                pause = _FIRST_PAUSE
            _log.warning(
                "agent ended; starting another",
                extra={"code": code, "in_seconds": pause.total_seconds()},
            )
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _live_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *launching.command(self._command, parent=os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on, in order
        )
        _log.info("agent started", extra={"pid": process.pid})
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await _stop(process)
            raise


async def _stop(process: asyncio.subprocess.Process) -> None:
    try:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_TIMEOUT.total_seconds()):
            await process.wait()
    except ProcessLookupError:
        return  # it ended while we turned to it
    except (TimeoutError, asyncio.CancelledError):
        # Out of patience, or asked a second time.
        _log.warning("agent does not stop; killing it", extra={"pid": process.pid})
        process.kill()
        await process.wait()


def command(
    *,
    link: str,
    api: str,
    token_file: Path,
    directory: Path,
    log_level: str,
) -> list[str]:
    """Return the command line of an agent; ``link`` and ``api`` are ``host:port``."""
    return [
        *(sys.executable, "-m", "dataplane.agent", "run"),
        *("--control-plane", link),
        *("--public-endpoint", api),
        *("--token-file", str(token_file)),
        *("--data-dir", str(directory)),
        *("--log-level", log_level),
        "--stop-attempts",
    ]
