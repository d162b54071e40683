"""
Starts shims: forked from the zygote if it runs (warm start), else as new processes (cold start).

Starting is idempotent: a second shim for the same attempt exits, so callers may fall back
to a cold start.
"""

import asyncio
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from dataplane.agent.core import attempt_limits
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.fixed_variables import find_fixed
from dataplane.agent.runtimes.process.shim import STARTED
from dataplane.agent.runtimes.process.zygote import GREETING_BYTES, PROBE, Greeting
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_BACKOFF = Backoff(first=timedelta(seconds=1), at_most=timedelta(seconds=60), jitter=0)
_STEADY = timedelta(seconds=60)  # uptime of a zygote after which the backoff is reset
_GREETING_TIMEOUT = timedelta(minutes=2)  # imports from a cold disk take long
_KILL_TIMEOUT = timedelta(seconds=10)  # from SIGKILL to the end

_Begin = Callable[[AttemptDirectory, int], Awaitable[None]]


class Spawner:
    """Keeps one zygote running, and starts shims with or without it."""

    def __init__(self, base: Mapping[str, str], home: Path, clock: Clock, *, warm: bool) -> None:
        self._base = dict(base)
        self._home = home
        self._clock = clock
        self._warm = warm
        self._program = shutil.which("a0", path=base["PATH"])
        self._zygote: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._greeting: Greeting | None = None
        self._probe = False  # whether to leave out packages that start threads
        self.ready = asyncio.Event()  # set while a zygote accepts requests

    async def run(self) -> None:
        """Keep a zygote running until cancelled; while there is none, starts are cold."""
        if not self._warm:
            return
        ended = 0
        while True:
            started_at = self._clock.now()
            may_restart = await self._run_zygote()
            if not may_restart:
                return
            if self._clock.now() - started_at > _STEADY:
                ended = 0
            ended += 1
            await self._clock.sleep(_BACKOFF.delay(ended))

    async def start(self, directory: AttemptDirectory, start: Start) -> bool:
        """
        Start a shim for the attempt; return True once its task runs.

        False: this shim did not start the task; the claim in ``directory`` shows whether
        another shim did.
        """
        fields = {"directory": str(directory.path)}
        if self._zygote is not None and self._may_fork(start):
            try:
                if await self._await_start(directory, self._fork):
                    return True
            except TimeoutError:
                logger.warning("zygote start timed out, zygote killed", extra=fields)
                if self._process is not None and self._process.returncode is None:
                    self._process.kill()  # ``run`` starts another
            if directory.find_claim() is not None:
                return False
            logger.warning("zygote start failed, starting the task cold", extra=fields)
        try:
            return await self._await_start(directory, self._spawn)
        except TimeoutError:
            logger.warning("shim start timed out", extra=fields)
            return False

    def _may_fork(self, start: Start) -> bool:
        """Whether a fork of the zygote would behave as a new interpreter for this task."""
        if self._program is None or start.argv[0] != self._program or self._greeting is None:
            return False
        greeting = self._greeting
        fixed = find_fixed(start.env, self._base, read=greeting.read, packages=greeting.packages)
        if fixed:
            logger.debug(
                "task starts cold, its variables differ from the zygote's",
                extra={"variables": fixed},
            )
        return not fixed

    async def _await_start(self, directory: AttemptDirectory, begin: _Begin) -> bool:
        """Start a shim with ``begin``; return whether it claimed the attempt; TimeoutError."""
        started, ready = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            async with asyncio.timeout(attempt_limits.START_TIMEOUT.total_seconds()):
                try:
                    await begin(directory, ready)
                finally:
                    os.close(ready)
                await readable(started)
            return os.read(started, len(STARTED)) == STARTED
        except TimeoutError:
            raise
        except OSError:
            logger.warning(
                "shim start failed", extra={"directory": str(directory.path)}, exc_info=True
            )
            return False
        finally:
            os.close(started)

    async def _fork(self, directory: AttemptDirectory, ready: int) -> None:
        if self._zygote is None:
            raise ConnectionError("the zygote has just ended")
        socket.send_fds(self._zygote, [str(directory.path).encode()], [ready])

    async def _spawn(self, directory: AttemptDirectory, ready: int) -> None:
        module = "dataplane.agent.runtimes.process.shim"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module, str(directory.path), str(ready)),
            pass_fds=(ready,),
            env=self._base,
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await process.wait()  # it forks the shim, which outlives the agent, and exits
        except asyncio.CancelledError:
            await _kill(process)
            raise

    async def _run_zygote(self) -> bool:
        """Run a zygote to its end; False if another one would fail as well."""
        parent_socket, child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = "from dataplane.agent.runtimes.process.zygote import main; main()"
        with parent_socket, child_socket:
            parent_socket.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                str(child_socket.fileno()),
                *([PROBE] if self._probe else []),
                pass_fds=(child_socket.fileno(),),
                env=self._base,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None,
                start_new_session=True,
            )
            child_socket.close()
            self._process = process
            try:
                greeting = await _receive_greeting(parent_socket)
                if greeting is not None and greeting.threads != 1:
                    return self._may_probe(greeting)
                if greeting is not None:
                    self._set_ready(greeting, process.pid)
                    self._zygote = parent_socket
                    self.ready.set()
                    await process.wait()
            except TimeoutError:
                logger.warning("zygote start timed out, killed", extra={"pid": process.pid})
            finally:
                self._zygote = self._process = self._greeting = None
                self.ready.clear()
                parent_socket.close()
                await _kill(process)  # the shims that it forked do not depend on it
        logger.warning("zygote ended, restarting it", extra={"code": process.returncode})
        return True

    def _set_ready(self, greeting: Greeting, pid: int) -> None:
        self._greeting = greeting
        logger.info("zygote ready", extra={"pid": pid})
        if greeting.left_out:
            logger.info(
                "zygote does not preload packages that start threads; each task imports them",
                extra={"packages": greeting.left_out},
            )

    def _may_probe(self, greeting: Greeting) -> bool:
        """Have the next zygote leave out packages that start threads; False if this one did."""
        if not self._probe:
            self._probe = True
            return True
        logger.warning(
            "warm start is off, each task starts about 0.4 s later: this environment starts "
            "threads in every interpreter; remove the .pth file or sitecustomize that does, or "
            "silence this with --cold",
            extra={"threads": greeting.threads},
        )
        return False


async def _receive_greeting(zygote: socket.socket) -> Greeting | None:
    """Return the greeting of a zygote that is ready, None if it has ended; TimeoutError."""
    async with asyncio.timeout(_GREETING_TIMEOUT.total_seconds()):
        greeting = await asyncio.get_running_loop().sock_recv(zygote, GREETING_BYTES)
    return Greeting(**json.loads(greeting)) if greeting else None


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a child process, and wait for its end, at most 10 s."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.kill()
    try:
        async with asyncio.timeout(_KILL_TIMEOUT.total_seconds()):
            await process.wait()
    except TimeoutError:
        logger.error("process survives SIGKILL", extra={"pid": process.pid})  # noqa: TRY400


async def readable(descriptor: int) -> None:
    """Wait until the descriptor is readable or at its end."""
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()
    loop.add_reader(descriptor, seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(descriptor)
