"""The ``volary`` command of one person: processes with a home directory of their own."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.oauth.service import ROOT, WITHIN_SECONDS


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Person:
    """Someone with a home directory; ``authority`` is trusted by their browser."""

    home: Path
    authority: Path

    @property
    def config(self) -> Path:
        return self.home / "config" / "volary" / "config"

    @property
    def stored(self) -> Mapping[str, Any]:
        stored: Mapping[str, Any] = json.loads(self.config.read_text())
        return stored

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await self.start_with(asyncio.subprocess.DEVNULL, arguments, environment)

    async def start_with(
        self, stdin: int, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "controlplane.cli", *arguments),
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "XDG_CONFIG_HOME": str(self.home / "config"),
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, **environment: str) -> Done:
        return await finish(await self.start(*arguments, **environment))

    async def log_in(self, url: str, *options: str, decision: str = "allow") -> Done:
        """Log in as Ada in a browser, who allows or denies it."""
        return await self.run(
            *("login", url, "--ca-file", str(self.authority), *options),
            BROWSER=f"{sys.executable} -m tests.integration.oauth.browser %s {decision} &",
            SSL_CERT_FILE=str(self.authority),
        )


async def finish(process: asyncio.subprocess.Process) -> Done:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def read_until(process: asyncio.subprocess.Process, pattern: str) -> str:
    """Return what a command has written to its error output, once it matches."""
    assert process.stderr is not None
    shown = ""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not re.search(pattern, shown):
            chunk = await process.stderr.read(1000)
            assert chunk, shown
            shown += chunk.decode()
    return shown
