"""
The keeper of one attempt's process: small, alone, and alive when the agent is not.

It claims the attempt, starts the task in a process group of its own, writes down what the
task says, holds it to its limits, ends it when asked (SIGTERM), kills whatever the task
leaves behind, and writes how it ended. Every process of the attempt is below it, even one
that left its parents: it is their subreaper. If it is killed, the kernel kills the task.

Run as ``python -m dataplane.agent.runtimes.process.shim DIRECTORY DESCRIPTOR``, or forked
by the zygote. The descriptor is told "started" once the task runs.
"""

import ctypes
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from pathlib import Path

from dataplane.agent.core.endings import Exit, KilledFor
from dataplane.agent.runtimes.process import trees
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.identity import Identity
from dataplane.agent.runtimes.process.logs import LogWriter
from shared.kit.clock import SystemClock

STARTED = b"started\n"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WEIGH_EVERY = 0.2  # seconds between two looks at the memory
_LAST_WORDS = 5.0  # seconds to read what was written before the end
_READ_BYTES = 256 * 1024


def keep(directory: AttemptDirectory, ready: int) -> Start:
    """
    Keep the attempt to its end.

    Returns only in the task's own process, which is to become what ``Start`` says; the
    shim's process ends here.
    """
    status = 1
    try:
        _detach(directory, ready)
        if not directory.claim(Identity.of_this_process()):
            os._exit(0)  # another shim runs this attempt
        shim = _Shim(directory, directory.take_start())
        if directory.is_asked_to_stop:
            shim.write_exit(Exit(signal=signal.SIGTERM, killed_for=KilledFor.STOPPED))
            os._exit(0)
        start = shim.start_task()
        if start is not None:
            return start
        os.write(ready, STARTED)
        os.close(ready)
        shim.watch()
        status = 0
    except BaseException:  # noqa: BLE001 - the last frame of this process; shim.txt gets it
        traceback.print_exc()
    os._exit(status)


class _Shim:
    def __init__(self, directory: AttemptDirectory, start: Start) -> None:
        self._directory = directory
        self._start = start
        self._log = LogWriter(
            directory.log,
            SystemClock(),
            line_bytes=start.line_bytes,
            log_bytes=start.log_bytes,
        )
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._output, self._task_output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        self._task = 0
        self._status: int | None = None
        self._max_rss = 0
        self._killed_for: KilledFor | None = None
        self._asked_to_stop = False
        self._kill_at = float("inf")
        self._end_at = float("inf")
        if start.max_runtime_seconds is not None:
            self._end_at = time.monotonic() + start.max_runtime_seconds
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_stop)

    def start_task(self) -> Start | None:
        """Fork; return what to become in the child and None in the shim."""
        for note in self._start.notes:
            self._log.say(note)
        shim = os.getpid()
        self._task = os.fork()
        if self._task == 0:
            signal.set_wakeup_fd(-1)
            _become_task(self._directory.work, self._task_output, shim)
            return self._start
        os.close(self._task_output)
        return None

    def watch(self) -> None:
        """Watch the task to its end and beyond, and write down how it ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._reap():
                for key, _ in selector.select(self._pause()):
                    if key.fd == self._output:
                        if not self._read_output():
                            selector.unregister(self._output)
                    else:
                        os.read(self._wake, 4096)
                self._check_limits()
        self._kill_remnants()
        self._read_last_words()
        self._log.close()
        self.write_exit(self._describe_exit())

    def write_exit(self, ended: Exit) -> None:
        self._directory.write_exit(ended)

    def _on_stop(self, *_: object) -> None:
        self._asked_to_stop = True

    def _pause(self) -> float:
        pause = min(self._end_at, self._kill_at) - time.monotonic()
        if self._start.memory_limit is not None:
            pause = min(pause, _WEIGH_EVERY)
        return max(0.0, min(pause, 60.0))

    def _reap(self) -> bool:
        """Collect who has ended; say whether the task itself has."""
        while self._status is None:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._note_memory(used)
            if pid == self._task:
                self._status = status
        return self._status is not None

    def _note_memory(self, used: "resource.struct_rusage") -> None:
        self._max_rss = max(self._max_rss, used.ru_maxrss * 1024)

    def _read_output(self) -> bool:
        """Read what there is; False at the end."""
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return True
        self._log.feed(data)
        return bool(data)

    def _check_limits(self) -> None:
        now = time.monotonic()
        if now >= self._kill_at:
            trees.send_signal(trees.list_descendants(os.getpid()), signal.SIGKILL)
            self._kill_at = now + 1.0
        if self._killed_for is not None:
            return
        if self._asked_to_stop:
            self._end(KilledFor.STOPPED)
        elif now >= self._end_at:
            self._log.say("the task has reached its max runtime and is being stopped")
            self._end(KilledFor.MAX_RUNTIME)
        elif self._start.memory_limit is not None:
            self._check_memory(self._start.memory_limit)

    def _check_memory(self, limit: int) -> None:
        pids = trees.list_descendants(os.getpid())
        used = trees.measure_memory(pids, limit)
        if used > limit:
            self._log.say(
                f"the task uses {used // 2**20} MiB of memory, its limit is "
                f"{limit // 2**20} MiB: killed"
            )
            self._max_rss = max(self._max_rss, used)
            self._killed_for = KilledFor.MEMORY
            trees.send_signal(pids, signal.SIGKILL)

    def _end(self, why: KilledFor) -> None:
        """Ask all of the task's processes to end; those still there later are killed."""
        self._killed_for = why
        self._end_at = float("inf")
        self._kill_at = time.monotonic() + self._start.grace_seconds
        trees.send_signal(trees.list_descendants(os.getpid()), signal.SIGTERM)

    def _kill_remnants(self) -> None:
        """Kill what the task left behind, until nothing is below us."""
        while True:
            trees.send_signal(trees.list_descendants(os.getpid()), signal.SIGKILL)
            try:
                _, _, used = os.wait4(-1, 0)
            except ChildProcessError:
                return
            self._note_memory(used)

    def _read_last_words(self) -> None:
        until = time.monotonic() + _LAST_WORDS
        os.set_blocking(self._output, True)  # every writer is dead: the end is near
        while time.monotonic() < until and self._read_output():
            pass

    def _describe_exit(self) -> Exit:
        status = 0 if self._status is None else self._status
        signalled = os.WIFSIGNALED(status)
        return Exit(
            code=None if signalled else os.waitstatus_to_exitcode(status),
            signal=os.WTERMSIG(status) if signalled else None,
            killed_for=self._killed_for,
            max_rss=self._max_rss,
        )


def _detach(directory: AttemptDirectory, ready: int) -> None:
    """Let go of everything inherited but the descriptor that is told of the start."""
    if os.getpid() != os.getsid(0):
        os.setsid()
    os.umask(0o022)
    nothing = os.open(os.devnull, os.O_RDONLY)
    complaints = os.open(directory.complaints, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, complaints), (2, complaints)):
        os.dup2(source, target)
    os.closerange(3, ready)
    os.closerange(ready + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.set_inheritable(ready, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _become_task(work: Path, output: int, shim: int) -> None:
    """Make this fresh child look like one that a shell had started."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != shim:
        os._exit(1)  # the shim died before the line above; nobody would keep us
    os.setpgid(0, 0)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.chdir(work)
    # When the machine runs out of memory, tasks go first.
    Path("/proc/self/oom_score_adj").write_text("500")


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """Keep an attempt whose program starts from nothing; our caller waits for nobody."""
    if os.fork() != 0:
        os._exit(0)
    start = keep(AttemptDirectory(Path(sys.argv[1])), int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(start.argv[0], list(start.argv), dict(start.env))  # noqa: S606 - it is our job


if __name__ == "__main__":
    main()
