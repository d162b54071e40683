"""
Runs the agent as a child process: restarts it when it dies, stops it before this process.

The two planes may not import each other, so this module knows only the agent's command line.
"""

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from controlplane.embedded import launching
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock

_log = logging.getLogger(__name__)

_BACKOFF = Backoff(first=timedelta(seconds=0.5), at_most=timedelta(seconds=15), jitter=0)
_STEADY = timedelta(seconds=60)
"""Uptime after which the restart delay is reset."""

_TIMEOUT = timedelta(seconds=30)
"""Time for an agent to stop its attempts and report it, before it is killed."""


class AgentProcess:
    def __init__(self, command: list[str], clock: Clock) -> None:
        self._command = command
        self._clock = clock

    async def run(self) -> None:
        """Keep an agent running until cancelled; then stop it and wait for its exit."""
        exits = 0
        while True:
            begun = self._clock.now()
            code = await self._run_once()
            if self._clock.now() - begun >= _STEADY:
                exits = 0
            exits += 1
            pause = _BACKOFF.delay(exits)
            _log.warning(
                "agent exited; restarting",
                extra={"code": code, "in_seconds": pause.total_seconds()},
            )
            await self._clock.sleep(pause)

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *launching.command(self._command, parent=os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C goes to this process only, which stops all in order
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
        return  # it has exited meanwhile
    except (TimeoutError, asyncio.CancelledError):
        # Timed out, or a second signal asks to stop at once.
        _log.warning("agent did not stop in time; killing it", extra={"pid": process.pid})
        process.kill()
        await process.wait()


def command(
    *,
    link: str,
    api: str,
    token_file: Path,
    directory: Path,
    log_level: str,
    ca_file: Path | None = None,
) -> list[str]:
    """
    Return the command line of an agent; ``link`` and ``api`` are ``host:port``.

    ``ca_file``: the API has TLS, by this authority.
    """
    tls = () if ca_file is None else ("--public-tls", "--public-ca-file", str(ca_file))
    return [
        *(sys.executable, "-m", "dataplane.agent", "run"),
        *("--control-plane", link),
        *("--public-endpoint", api),
        *("--token-file", str(token_file)),
        *("--data-dir", str(directory)),
        *("--log-level", log_level),
        *tls,
        "--stop-attempts",
    ]
