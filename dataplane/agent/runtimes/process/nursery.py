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
from datetime import timedelta
from pathlib import Path

from dataplane.agent.core import limits
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.shim import STARTED
from dataplane.agent.runtimes.process.zygote import REQUEST_BYTES
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_RESTART_AFTER = timedelta(seconds=1)
_RESTART_AT_MOST = timedelta(seconds=60)

# What an interpreter, the loader or the C library looks at only while it starts.
_SETTLED_AT_START = ("PYTHON", "LD_", "MALLOC_", "GLIBC_")


_Begin = Callable[[AttemptDirectory, int], Awaitable[None]]


class Nursery:
    """Keeps one zygote alive, and starts shims with or without it."""

    def __init__(self, base: Mapping[str, str], home: Path, clock: Clock, *, warm: bool) -> None:
        self._base = dict(base)
        self._home = home
        self._clock = clock
        self._warm = warm
        self._program = shutil.which("a0", path=base["PATH"])
        self._zygote: socket.socket | None = None
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
        if self._zygote is not None and self._may_fork(start):
            if await self._await_start(directory, self._fork):
                return True
            if directory.find_shim() is not None:
                return False
            logger.warning("the zygote did not start a task; starting it from nothing")
        return await self._await_start(directory, self._spawn)

    def _may_fork(self, start: Start) -> bool:
        """Whether a fork of the zygote cannot be told from a fresh interpreter."""
        if self._program is None or start.argv[0] != self._program:
            return False
        return _at_start(start.env) == _at_start(self._base)

    async def _await_start(self, directory: AttemptDirectory, begin: _Begin) -> bool:
        told, ready = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        fields = {"directory": str(directory.path)}
        try:
            try:
                await begin(directory, ready)
            except OSError:
                logger.warning("a shim could not be started", extra=fields, exc_info=True)
                return False
            finally:
                os.close(ready)
            async with asyncio.timeout(limits.START_TIMEOUT.total_seconds()):
                await readable(told)
            return os.read(told, len(STARTED)) == STARTED
        except TimeoutError:
            logger.warning("a shim did not start in time", extra=fields)
            return False
        finally:
            os.close(told)

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
        await process.wait()  # it has left a child of its own behind, which outlives us

    async def _run_zygote(self) -> bool:
        """Run a zygote to its end; False if there is no use in another one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = "from dataplane.agent.runtimes.process.zygote import main; main()"
        with ours, theirs:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                env=self._base,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None,
                start_new_session=True,
            )
            theirs.close()
            try:
                loop = asyncio.get_running_loop()
                greeting = await loop.sock_recv(ours, REQUEST_BYTES)
                if greeting:
                    threads = json.loads(greeting)["threads"]
                    if threads != 1:
                        logger.warning(
                            "the SDK's imports start threads; tasks start from nothing",
                            extra={"threads": threads},
                        )
                        return False
                    logger.info("the zygote is ready", extra={"pid": process.pid})
                    self._zygote = ours
                    self.ready.set()
                await process.wait()
            finally:
                self._zygote = None
                self.ready.clear()
                ours.close()
                if process.returncode is None:
                    process.kill()  # its forks are not its children's keepers: they go on
                    await process.wait()
        logger.warning("the zygote ended; starting another", extra={"code": process.returncode})
        return True


async def readable(descriptor: int) -> None:
    """Wait until the descriptor can be read, or has come to its end."""
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()
    loop.add_reader(descriptor, seen.set)
    try:
        await seen.wait()
    finally:
        loop.remove_reader(descriptor)


def _at_start(environment: Mapping[str, str]) -> Mapping[str, str]:
    return {
        name: value for name, value in environment.items() if name.startswith(_SETTLED_AT_START)
    }
