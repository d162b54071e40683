"""
Runs ``volary up`` for tests that kill and restart it.

A :class:`Stack` keeps its data directory and its port over its lives, because that is what
a person's does, and what its tasks remember.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.ports import free_ports
from tests.servers import volary


class Stack:
    def __init__(self, home: Path, *options: str, context: Mapping[str, str] | None = None) -> None:
        self.data = home / "data of jörg, 100% %20"
        self._home = home
        [self._port] = free_ports(1)
        self._options = options
        self._context = context
        self._up: volary.VolaryUp | None = None
        self._lives = 0
        home.mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> str:
        return f"localhost:{self._port}"

    @property
    def url(self) -> str:
        return f"http://{self.endpoint}"

    @property
    def up(self) -> volary.VolaryUp:
        assert self._up is not None
        return self._up

    def agents(self) -> list[psutil.Process]:
        """List the agents that are running now: one, or none for a moment."""
        return [one for one in psutil.Process(self.up.process.pid).children() if _is_agent(one)]

    def agent(self) -> psutil.Process:
        [agent] = self.agents()
        return agent

    def start(self) -> None:
        """Start it, and return when it is up."""
        self._lives += 1
        self._up = volary.start(
            self.data,
            *("--http-port", str(self._port), *self._options),
            log=self._home / f"up-{self._lives}.log",
            context=self._context,
        )
        self._up.wait_until_up()

    def kill(self) -> None:
        """Kill the control plane with SIGKILL; processes that it started keep running."""
        self.up.stop(signal.SIGKILL)

    @contextmanager
    def running(self) -> Iterator["Stack"]:
        """Run it for the length of a block, whatever the block does to it."""
        try:
            self.start()
            yield self
        finally:
            if self._up is not None and self._up.process.poll() is None:
                self._up.stop()


def _is_agent(process: psutil.Process) -> bool:
    try:
        return "dataplane.agent" in process.cmdline()
    except psutil.Error:
        return False  # it has just ended
