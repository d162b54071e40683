"""
A process with the SDK's dependencies imported, of which attempts are forked.

Starting ``a0`` is nearly all imports. The zygote does those that are the same for every
task, and only those: everything the SDK imports but the SDK itself, because importing
``flyte`` starts a thread (which would not exist in a fork) and reads the environment
(which is the task's own). A thread is fatal to forking, so the zygote counts its threads
and refuses to serve with more than one; the agent then starts tasks from nothing.

The SDK itself is imported in the fork, ahead of time if possible: after each start a spare
is forked that imports it in the environment of the task just started, and the next task
gets the spare if its environment is the same but for what tells one action from another.

A forked task becomes ``a0`` as if started by the shell: same argv, path, environment and
``__main__``. Run by :mod:`dataplane.agent.runtimes.process.nursery`.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.shim import Order, keep

REQUEST_BYTES = 4096
_REAP_EVERY = 1.0  # seconds

# What a0 imports of the SDK on its way to any task. Names a later SDK lacks are skipped.
_SDK = (
    "flyte._bin.runtime",
    "flyte.storage",
    "flyte.git",
    "flyte._internal.controllers.remote",
    "flyte._internal.controllers.remote._client",
    "flyte._internal.image_cache",
    "flyte._internal.resolvers.default",
    "flyte._internal.runtime.entrypoints",
    "flyte._utils.asyncify",
    "flyte.remote._client.controlplane",
    "flyte.remote._client.auth._session",
)

# What those import only when they are used.
_LAZY = (
    "anyio",
    "faulthandler",
    "fsspec.implementations.local",
    "h2.connection",
    "httpcore",
    "httpcore._backends.anyio",
    "obstore.store",
    "opentelemetry.baggage.propagation",
    "opentelemetry.metrics",
    "opentelemetry.propagate",
    "opentelemetry.trace.propagation.tracecontext",
    "pyqwest._glue",
)

_SCOUT = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print(json.dumps([name for name in sys.modules if name not in before]))
"""

_OWN_TO_ONE_ACTION = frozenset(
    {"ACTION_NAME", "FLYTE_ATTEMPT_NUMBER", "RUN_NAME", "VOLARY_ATTEMPT", "_U_RUN_BASE"}
)
"""Variables a0 reads when it runs, never while it is imported."""

Become = Callable[[], None]


def main() -> None:
    """Serve the socket whose descriptor is our only argument, until it closes."""
    sys.path[:] = [entry for entry in sys.path if entry]  # "" is there because of -c
    become_task = _Zygote(socket.socket(fileno=int(sys.argv[1]))).serve()
    if become_task is not None:
        become_task()


def preload() -> int:
    """Import what the SDK needs; return how many threads that left us with."""
    scout = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _SCOUT, *_SDK, *_LAZY],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    foreign = [
        name
        for name in json.loads(scout.stdout)
        if name.partition(".")[0] not in {"flyte", "__main__", "__mp_main__"}
    ]
    _import(foreign)
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, every page we share
    return len(list(Path("/proc/self/task").iterdir()))


@dataclass(frozen=True, slots=True)
class _Spare:
    """A shim that waits, above a process that has the SDK imported in ``env``."""

    orders: socket.socket
    env: Mapping[str, str]


class _Zygote:
    def __init__(self, agent: socket.socket) -> None:
        self._agent = agent
        self._spare: _Spare | None = None

    def serve(self) -> Become | None:
        """Start a task for each request; returns in a task's process, and at the end."""
        threads = preload()
        self._agent.send(json.dumps({"threads": threads}).encode())
        if threads != 1:
            return None
        while True:
            waiting, _, _ = select.select([self._agent], [], [], _REAP_EVERY)
            _reap()
            if not waiting:
                continue
            order = _receive(self._agent)
            if order is None:
                return None  # the agent is gone
            try:
                env = _shared_part(order.directory.read_start().env)
            except FileNotFoundError:
                os.close(order.ready)  # a shim that an earlier agent asked for has taken it
                continue
            become_task = self._start(order, env) or self._fork_spare(env)
            if become_task is not None:
                return become_task

    def _start(self, order: Order, env: Mapping[str, str]) -> Become | None:
        """Give the attempt to the spare, or to a fresh fork."""
        spare, self._spare = self._spare, None
        given = False
        if spare is not None:
            with spare.orders:
                given = spare.env == env and _send(spare.orders, order)
        if not given and os.fork() == 0:
            self._agent.detach()  # keep closes it; the object must not close it again later
            return _task_of(keep(lambda: order, using=order.ready))
        os.close(order.ready)
        return None

    def _fork_spare(self, env: Mapping[str, str]) -> Become | None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._agent.detach()
            ours.detach()

            def prepare() -> None:
                theirs.detach()
                _set_environment(env)
                _import(_SDK)

            return _task_of(keep(lambda: _receive(theirs), using=theirs.fileno(), prepare=prepare))
        theirs.close()
        self._spare = _Spare(ours, env)
        return None


def _task_of(start: Start) -> Become:
    return lambda: become(start)


def _receive(orders: socket.socket) -> Order | None:
    """Return the next order, None when nobody is left to give one."""
    text, descriptors, _, _ = socket.recv_fds(orders, REQUEST_BYTES, 1)
    return Order(AttemptDirectory(Path(text.decode())), descriptors[0]) if text else None


def _send(orders: socket.socket, order: Order) -> bool:
    try:
        socket.send_fds(orders, [str(order.directory.path).encode()], [order.ready])
    except OSError:
        return False  # the spare is gone
    return True


def _shared_part(env: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in env.items() if name not in _OWN_TO_ONE_ACTION}


def _import(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - who needs it will say what is wrong with it
            continue


def _set_environment(env: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass  # no shim of ours is left


def become(start: Start) -> None:
    """Be the program ``start.argv`` names, in this interpreter."""
    program = start.argv[0]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as an interpreter that starts has it
    _set_environment(start.env)
    sys.argv[:] = start.argv
    sys.path.insert(0, str(Path(program).parent))
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    module.__dict__.update(__file__=program, __builtins__=__builtins__)
    code = compile(Path(program).read_bytes(), program, "exec")
    exec(code, module.__dict__)  # noqa: S102 - it is the interpreter's job, done by us


if __name__ == "__main__":
    main()
