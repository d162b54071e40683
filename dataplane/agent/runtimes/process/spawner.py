"""
Start shims: forked of a zygote if there is one, else each from nothing.

Both ways end in the same shim, and a shim that comes second to an attempt steps back, so
whoever is in doubt may simply try the other way.
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

from dataplane.agent.core import limits
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.fixed_variables import find_fixed
from dataplane.agent.runtimes.process.shim import STARTED
from dataplane.agent.runtimes.process.zygote import GREETING_BYTES, PROBE, Greeting
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_RESTART_AFTER = timedelta(seconds=1)
_RESTART_AT_MOST = timedelta(seconds=60)

_GREETING_WITHIN = timedelta(minutes=2)  # imports of a cold disk take long
_DIES_WITHIN = timedelta(seconds=10)  # from SIGKILL

_Begin = Callable[[AttemptDirectory, int], Awaitable[None]]


class Spawner:
    """Keeps one zygote alive, and starts shims with or without it."""

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
        self.ready = asyncio.Event()  # set while a zygote serves

    async def run(self) -> None:
        """Keep a zygote alive until cancelled; without one every start is a cold one."""
        if not self._warm:
            return
        pause = _RESTART_AFTER
        while True:
            started_at = self._clock.now()
            lives_on = await self._run_zygote()
            if not lives_on:
                return
            if self._clock.now() - started_at > _RESTART_AT_MOST:
                pause = _RESTART_AFTER
            await self._clock.sleep(pause)
            pause = min(pause * 2, _RESTART_AT_MOST)

    async def start(self, directory: AttemptDirectory, start: Start) -> bool:
        """
        Start a shim for the attempt; return when its task runs.

        False: this shim did not start a task. ``directory`` then tells whether another
        one did.
        """
        fields = {"directory": str(directory.path)}
        if self._zygote is not None and self._may_fork(start):
            try:
                if await self._await_start(directory, self._fork):
                    return True
            except TimeoutError:
                logger.warning("zygote does not answer, killed", extra=fields)
                if self._process is not None and self._process.returncode is None:
                    self._process.kill()  # another one is started
            if directory.find_claim() is not None:
                return False
            logger.warning("the zygote did not start a task; starting it from nothing")
        try:
            return await self._await_start(directory, self._spawn)
        except TimeoutError:
            logger.warning("shim did not start in time", extra=fields)
            return False

    def _may_fork(self, start: Start) -> bool:
        """Whether a fork of the zygote cannot be told from a fresh interpreter."""
        if self._program is None or start.argv[0] != self._program or self._greeting is None:
            return False
        greeting = self._greeting
        fixed = find_fixed(start.env, self._base, read=greeting.read, packages=greeting.packages)
        if fixed:
            logger.debug("task started cold, for its variables", extra={"variables": fixed})
        return not fixed

    async def _await_start(self, directory: AttemptDirectory, begin: _Begin) -> bool:
        """Begin, and wait until the shim has claimed the attempt; TimeoutError if it is late."""
        last_reported, ready = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            async with asyncio.timeout(limits.START_TIMEOUT.total_seconds()):
                try:
                    await begin(directory, ready)
                finally:
                    os.close(ready)
                await readable(last_reported)
            return os.read(last_reported, len(STARTED)) == STARTED
        except TimeoutError:
            raise
        except OSError:
            logger.warning(
                "shim not started", extra={"directory": str(directory.path)}, exc_info=True
            )
            return False
        finally:
            os.close(last_reported)

    async def _fork(self, directory: AttemptDirectory, ready: int) -> None:
        if self._zygote is None:
            raise ConnectionError("the zygote ended this moment")
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
            await process.wait()  # it has left a child of its own behind, which outlives us
        except asyncio.CancelledError:
            await _kill(process)
            raise

    async def _run_zygote(self) -> bool:
        """Run a zygote to its end; False if there is no use in another one."""
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
                    return self._note_threads(greeting)
                if greeting is not None:
                    self._note_ready(greeting, process.pid)
                    self._zygote = parent_socket
                    self.ready.set()
                    await process.wait()
            except TimeoutError:
                logger.warning("zygote not ready in time, killed", extra={"pid": process.pid})
            finally:
                self._zygote = self._process = self._greeting = None
                self.ready.clear()
                parent_socket.close()
                await _kill(process)  # its forks are not its children's keepers: they go on
        logger.warning("the zygote ended; starting another", extra={"code": process.returncode})
        return True

    def _note_ready(self, greeting: Greeting, pid: int) -> None:
        self._greeting = greeting
        logger.info("the zygote is ready", extra={"pid": pid})
        if greeting.left_out:
            logger.info(
                "packages start threads when they are imported, so each task imports them itself",
                extra={"packages": greeting.left_out},
            )

    def _note_threads(self, greeting: Greeting) -> bool:
        """Try again without the packages that start threads; False if that was tried."""
        if not self._probe:
            self._probe = True
            return True
        logger.warning(
            "warm start is off, each task costs some 0.4 s more: this environment starts threads "
            "in every interpreter; remove the .pth file or sitecustomize that does, or silence "
            "this with --cold",
            extra={"threads": greeting.threads},
        )
        return False


async def _receive_greeting(zygote: socket.socket) -> Greeting | None:
    """Return what a zygote says when it is ready, None if it ended; TimeoutError if it is late."""
    async with asyncio.timeout(_GREETING_WITHIN.total_seconds()):
        greeting = await asyncio.get_running_loop().sock_recv(zygote, GREETING_BYTES)
    return Greeting(**json.loads(greeting)) if greeting else None


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process that is ours, and wait for its end, but not for ever."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.kill()
    try:
        async with asyncio.timeout(_DIES_WITHIN.total_seconds()):
            await process.wait()
    except TimeoutError:
        logger.error("process survives SIGKILL", extra={"pid": process.pid})  # noqa: TRY400


async def readable(descriptor: int) -> None:
    """Wait until the descriptor can be read, or has come to its end."""
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()
    loop.add_reader(descriptor, seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(descriptor)
