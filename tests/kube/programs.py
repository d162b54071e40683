"""Programs that run behind a test: started with a log of their own, waited for, stopped."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_STOP_SECONDS = 20.0
_LAST_WORDS = 3000  # characters of a log that a failure shows


class ProgramError(AssertionError):
    """A program ended, or did not become what was waited for; with the end of its log."""


class Program:
    """One program, which may be stopped and started again, or held up for a while."""

    def __init__(self, name: str, arguments: Sequence[str | Path], *, logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @contextmanager
    def running(self) -> Iterator["Program"]:
        """Have it run for the length of a block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        with self.log.open("ab") as words:
            self._process = subprocess.Popen(  # noqa: S603 -- our own arguments
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask it to end; make it, when it takes too long."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        assert self._process is not None, f"{self.name} was never started"
        self._process.kill()
        self._process.wait()

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Let it do nothing for the length of a block: its connections stay, half-open."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def wait_until(self, fact: Callable[[], bool], what: str, *, within: float) -> None:
        """Wait for a fact that it brings about; ProgramError when it ends or dawdles first."""
        assert self._process is not None, f"{self.name} was never started"
        deadline = time.monotonic() + within
        while not fact():
            if self._process.poll() is not None:
                raise ProgramError(f"{self.name} ended before {what}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise ProgramError(f"{what}: not within {within:g} s:\n{self.last_words()}")
            time.sleep(0.02)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-_LAST_WORDS:]


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
