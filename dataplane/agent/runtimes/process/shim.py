"""
Shim: supervises the process of one attempt, and outlives the agent.

It claims the attempt, starts the task in a process group of its own, writes the task's
output to the log, enforces its limits, stops it on SIGTERM, kills the processes that the
task leaves behind, and writes the exit file. Every process of the attempt is its
descendant, even a daemonised one: it is their subreaper. If it is killed, the kernel kills
the task.

Run as ``python -m dataplane.agent.runtimes.process.shim DIRECTORY DESCRIPTOR``, or forked
by the zygote. It writes "started" to the descriptor once the attempt is claimed and about
to run.
"""

import ctypes
import json
import math
import os
import resource
import select
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dataplane.agent.core.endings import Exit, KilledFor
from dataplane.agent.runtimes.process import process_tree
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.fence import FenceFile
from dataplane.agent.runtimes.process.logs import LogWriter
from dataplane.agent.runtimes.process.process_identity import Identity
from shared.kit.clock import SystemClock

STARTED = b"started\n"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MEMORY_CHECK_INTERVAL = 0.2  # seconds
_FENCE_CHECK_INTERVAL = 1.0  # seconds
_PARTIAL_LINE_INTERVAL = 1.0  # seconds between two states of a progress bar that followers see
_REMNANTS_TIMEOUT = 5.0  # seconds from the task's end
_SIGKILL_INTERVAL = 0.1  # seconds, to reach processes that were forked meanwhile
_DRAIN_TIMEOUT = 5.0  # seconds to read the output written before the end
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """The attempt to run, and the descriptor on which to report that it has started."""

    directory: AttemptDirectory
    ready: int


def supervise(
    wait: Callable[[], Order | None], *, using: int, prepare: Callable[[], None] = lambda: None
) -> Start:
    """
    Supervise the attempt that ``wait`` returns to its end; None means that there is none.

    The task's process is forked first and runs ``prepare`` while the shim waits. ``using``
    is the descriptor that ``wait`` needs; all others are closed. Returns only in the task's
    own process, which is to execute the returned ``Start``; the shim's process exits here.
    """
    status = 1
    try:
        _detach(using)
        shim = _Shim()
        start = shim.fork_task(prepare)
        if start is not None:
            return start
        order = wait()
        if order is None or not shim.begin(order):
            os._exit(0)  # the task's process ends with its shim
        shim.watch()
        status = 0
    except BaseException:  # noqa: BLE001 - last frame of this process; goes to shim.txt
        traceback.print_exc()
    os._exit(status)


class _Shim:
    def __init__(self) -> None:
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._output, self._task_output = os.pipe2(os.O_CLOEXEC)
        self._task_start, self._start_task = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        self._task = 0
        self._status: int | None = None
        self._max_rss = 0
        self._killed_for: KilledFor | None = None
        self._stop_requested = False
        self._kill_at = math.inf
        self._end_at = math.inf
        self._publish_at = 0.0
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_stop)

    def fork_task(self, prepare: Callable[[], None]) -> Start | None:
        """Fork the task's process; return its start order in the child, and None in the shim."""
        shim = os.getpid()
        self._task = os.fork()
        if self._task == 0:
            signal.set_wakeup_fd(-1)
            _become_task(shim, output=self._task_output, start=self._task_start)
            prepare()
            return _read_start(self._task_start)
        os.close(self._task_output)
        os.close(self._task_start)
        return None

    def begin(self, order: Order) -> bool:
        """Claim the attempt and start its task; False if this shim is not to start it."""
        self._directory = order.directory
        _redirect_stderr(order.directory.shim_stderr)
        os.chdir(order.directory.path)  # identifies this shim if its claim is lost
        if not order.directory.claim(Identity.of_this_process()):
            return False  # another shim runs this attempt
        self._start = start = order.directory.take_start()
        if order.directory.is_stop_requested:
            ended = Exit(signal=signal.SIGTERM, killed_for=KilledFor.STOPPED)
            order.directory.write_exit(ended)
            return False
        if self._is_fenced():
            ended = Exit(signal=signal.SIGTERM, killed_for=KilledFor.CUT_OFF)
            order.directory.write_exit(ended)
            return False
        self._log = LogWriter(
            order.directory.log,
            SystemClock(),
            line_bytes=start.line_bytes,
            log_bytes=start.log_bytes,
        )
        for note in start.notes:
            self._log.say(note)
        if start.max_runtime_seconds is not None:
            self._end_at = time.monotonic() + start.max_runtime_seconds
        os.write(order.ready, STARTED)  # before the task starts: it may stop the shim
        os.close(order.ready)
        with open(self._start_task, "w") as task:  # noqa: PTH123 - a descriptor
            json.dump({**asdict(start), "work": str(order.directory.work)}, task)
        return True

    def watch(self) -> None:
        """Supervise the task to its end, kill its remaining processes, write the exit file."""
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
                self._publish_unfinished_line()
                self._check_limits()
        self._kill_remnants()
        self._drain_output()
        self._log.close()
        self._directory.write_exit(self._describe_exit())

    def _on_stop(self, *_: object) -> None:
        self._stop_requested = True

    def _pause(self) -> float:
        pause = min(self._end_at, self._kill_at) - time.monotonic()
        if self._start.memory_limit is not None:
            pause = min(pause, _MEMORY_CHECK_INTERVAL)
        if self._start.fence is not None:
            pause = min(pause, _FENCE_CHECK_INTERVAL)
        if self._log.has_unpublished:
            pause = min(pause, self._publish_at - time.monotonic())
        return max(0.0, min(pause, 60.0))

    def _reap(self) -> bool:
        """Reap ended processes; return whether the task itself has ended."""
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
        """Read the available output; False at its end."""
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return True
        self._log.feed(data)
        return bool(data)

    def _publish_unfinished_line(self) -> None:
        """Let followers of the log see the line that the task is writing, once a second."""
        now = time.monotonic()
        if now >= self._publish_at:
            self._publish_at = now + _PARTIAL_LINE_INTERVAL
            self._log.publish_unfinished()

    def _check_limits(self) -> None:
        now = time.monotonic()
        if now >= self._kill_at:
            process_tree.send_signal(process_tree.list_descendants(os.getpid()), signal.SIGKILL)
            self._kill_at = now + 1.0
        if self._killed_for is not None:
            return
        if self._stop_requested:
            self._end(KilledFor.STOPPED)
        elif now >= self._end_at:
            self._log.say("the task has reached its max runtime and is being stopped")
            self._end(KilledFor.MAX_RUNTIME)
        elif self._is_fenced():
            self._log.say(
                "stopping the task: its cluster has lost the control plane, and the task may be "
                "restarted on another cluster"
            )
            self._end(KilledFor.CUT_OFF)
        elif self._start.memory_limit is not None:
            self._check_memory(self._start.memory_limit)

    def _is_fenced(self) -> bool:
        """
        Whether the fence has expired, so that the attempt may be running elsewhere.

        Checked here because the agent may be dead, and nothing else would stop the task.
        """
        return self._start.fence is not None and FenceFile(Path(self._start.fence)).is_closed

    def _check_memory(self, limit: int) -> None:
        pids = process_tree.list_descendants(os.getpid())
        used = process_tree.measure_memory(pids, limit)
        if used > limit:
            self._log.say(
                f"the task uses {used // 2**20} MiB of memory, its limit is "
                f"{limit // 2**20} MiB: killed"
            )
            self._max_rss = max(self._max_rss, used)
            self._killed_for = KilledFor.MEMORY
            process_tree.send_signal(pids, signal.SIGKILL)

    def _end(self, why: KilledFor) -> None:
        """Send SIGTERM to all of the task's processes; SIGKILL follows after the grace period."""
        self._killed_for = why
        self._end_at = float("inf")
        self._kill_at = time.monotonic() + self._start.grace_seconds
        process_tree.send_signal(process_tree.list_descendants(os.getpid()), signal.SIGTERM)

    def _kill_remnants(self) -> None:
        """Kill the task's remaining processes until there are none, or the timeout has passed."""
        until = time.monotonic() + _REMNANTS_TIMEOUT
        while True:
            remnants = process_tree.list_descendants(os.getpid())
            process_tree.send_signal(remnants, signal.SIGKILL)
            try:
                pid, _, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid != 0:
                self._note_memory(used)
            elif time.monotonic() >= until:
                self._log.say(f"processes of the task survive SIGKILL: {remnants}")
                return
            elif select.select([self._wake], [], [], _SIGKILL_INTERVAL)[0]:  # usually by SIGCHLD
                os.read(self._wake, 4096)

    def _drain_output(self) -> None:
        """Read the output to its end, or for 5 s: a process that survives SIGKILL keeps it open."""
        until = time.monotonic() + _DRAIN_TIMEOUT
        while (remaining := until - time.monotonic()) > 0:
            if not select.select([self._output], [], [], remaining)[0]:
                return
            if not self._read_output():
                return

    def _describe_exit(self) -> Exit:
        ended = parse_wait_status(0 if self._status is None else self._status)
        return replace(ended, killed_for=self._killed_for, max_rss=self._max_rss)


def parse_wait_status(status: int) -> Exit:
    """Parse the kernel's wait status, of whatever kind."""
    if os.WIFSIGNALED(status):
        return Exit(signal=os.WTERMSIG(status))
    if os.WIFEXITED(status):
        return Exit(code=os.WEXITSTATUS(status))
    return Exit(wait_status=status)


def _detach(using: int) -> None:
    """Detach from the parent's session and close all inherited descriptors but ``using``."""
    if os.getpid() != os.getsid(0):
        os.setsid()
    os.umask(0o022)
    nothing = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(nothing, target)
    _close_all_but(using)
    os.set_inheritable(using, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _become_task(shim: int, *, output: int, start: int) -> None:
    """Set up this new child as if a shell had started it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != shim:
        os._exit(1)  # the shim died before the line above, so the signal will not come
    os.setpgid(0, 0)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _close_all_but(start)
    # When the machine runs out of memory, the kernel kills tasks first.
    Path("/proc/self/oom_score_adj").write_text("500")


def _read_start(descriptor: int) -> Start:
    """Wait for the start order, and change to the task's working directory."""
    with open(descriptor) as shim:
        text = shim.read()
    if not text:
        os._exit(1)  # the shim had no attempt to run
    start = json.loads(text)
    os.chdir(start.pop("work"))
    return Start(**start)


def _redirect_stderr(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _close_all_but(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main() -> None:
    """Cold-start and supervise an attempt, in a child, so that the caller's wait returns at once."""
    if os.fork() != 0:
        os._exit(0)
    order = Order(AttemptDirectory(Path(sys.argv[1])), int(sys.argv[2]))
    start = supervise(lambda: order, using=order.ready)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve(start.argv[0], list(start.argv), dict(start.env))  # noqa: S606 - runs the task


if __name__ == "__main__":
    main()
