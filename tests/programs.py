"""Programs that run behind a test: started with a log of their own, waited for, stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests import program_logs

_LAST_WORDS = 3000  # characters of a log that a failure shows
_END_SECONDS = 60.0
_ROOT = Path(__file__).parents[1]


class ProgramError(AssertionError):
    """A program ended, or did not become what was waited for; with the end of its log."""


class Program:
    """One program, which may be stopped and started again, or held up for a while."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        logs: Path,
        environment: Mapping[str, str] | None = None,
        wrapped: bool = False,
    ) -> None:
        """
        Describe it; ``environment`` None is the test's own, ``wrapped`` says that what is run
        is not it, but has it as its child.
        """
        self.name = name
        self.log = logs / f"{name}.log"
        self._arguments = arguments
        self.environment = dict(os.environ if environment is None else environment)
        self._wrapped = wrapped
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @contextmanager
    def running(self) -> Iterator["Program"]:
        """Have it run for the length of a block; nothing of it is kept, so it is killed."""
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        program_logs.follow(self.name, self.log)
        with self.log.open("ab") as words:
            self._process = subprocess.Popen(  # noqa: S603 -- our own arguments
                self._arguments,
                cwd=_ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end of it; returns its exit code."""
        self._signal(number)
        return self._started().wait(_END_SECONDS)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Let it do nothing for the length of a block: its connections stay, half-open."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)
            self._started().send_signal(signal.SIGCONT)  # for a wrapper stops with it

    def _started(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        """Signal the program itself; one that is gone hears nothing."""
        process = self._started()
        if process.poll() is None and self._wrapped:
            for child in psutil.Process(process.pid).children():
                child.send_signal(number)
        else:
            process.send_signal(number)

    def wait_until(self, fact: Callable[[], bool], what: str, *, within: float) -> None:
        """Wait for a fact that it brings about; ProgramError when it ends or dawdles first."""
        deadline = time.monotonic() + within
        while not fact():
            if self._started().poll() is not None:
                raise ProgramError(f"{self.name} ended before {what}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise ProgramError(f"{what}: not within {within:g} s:\n{self.last_words()}")
            time.sleep(0.02)

    def output(self) -> str:
        """Everything it has said, in all its lives."""
        return self.log.read_text(errors="replace")

    def last_words(self) -> str:
        return self.output()[-_LAST_WORDS:]
