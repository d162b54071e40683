"""
Zygote: a process with the SDK's dependencies imported, from which shims are forked.

Starting ``a0`` is nearly all imports. The zygote does those that are the same for every
task, and only those: everything the SDK imports but the SDK itself, because importing
``flyte`` starts a thread (which would not exist in a fork) and reads the environment
(which differs by task). A thread is fatal to forking, so the zygote counts its threads
and refuses to serve with more than one. With ``--probe`` it first imports each package in
a fork, and leaves out those that start threads (numpy does, and with it pandas).

A fork inherits what the zygote read from its environment at import: the greeting names the
variables that the imports read, and the agent cold-starts a task that sets others.

The SDK itself is imported in the fork, ahead of time if possible: after each start a spare
is forked that imports it in the environment of the task just started, and the next task
gets the spare if its environment differs only in the variables that identify the action.

A forked task runs ``a0`` as if started by the shell: same argv, path, environment and
``__main__``. Run by :mod:`dataplane.agent.runtimes.process.spawner`.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.fixed_variables import list_foreign_packages, recording
from dataplane.agent.runtimes.process.shim import Order, supervise
from dataplane.agent.runtimes.process.state_files import StateUnreadableError

REQUEST_BYTES = 4096
GREETING_BYTES = 64 * 1024
PROBE = "--probe"
_REAP_EVERY = 1.0  # seconds

# Modules of the SDK that a0 imports for every task. Names that a later SDK lacks are skipped.
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

# Modules that those import lazily.
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

_PER_ACTION = frozenset(
    {
        "ACTION_NAME",
        "FLYTE_ATTEMPT_NUMBER",
        "RUN_NAME",
        "TRACEPARENT",
        "VOLARY_ATTEMPT",
        "_U_RUN_BASE",
    }
)
"""Variables a0 reads when it runs, never while it is imported."""

Become = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """Message to the agent once the zygote has imported its modules."""

    threads: int  # of the zygote; it serves only with one
    read: Sequence[str]  # environment variables that the imports read
    packages: Sequence[str]  # imported packages, without the standard library
    left_out: Sequence[str]  # packages that start threads when they are imported


def main() -> None:
    """Serve the socket whose descriptor is the first argument, until it closes."""
    sys.path[:] = [entry for entry in sys.path if entry]  # "" is there because of -c
    agent = socket.socket(fileno=int(sys.argv[1]))
    become_task = _Zygote(agent).serve(probe=PROBE in sys.argv)
    if become_task is not None:
        become_task()


def preload(*, probe: bool) -> Greeting:
    """Import the SDK's dependencies; with ``probe`` only packages that start no threads."""
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
    with recording() as read:
        left_out = _import_threadless(foreign) if probe else []
        if not probe:
            _import(foreign)
    gc.collect()
    gc.freeze()  # the collector would write to, and so copy, every page shared with forks
    return Greeting(
        threads=_count_threads(),
        read=sorted(read),
        packages=list_foreign_packages(foreign),
        left_out=left_out,
    )


def _import_threadless(names: Iterable[str]) -> Sequence[str]:
    """Import packages that start no threads, trying each in a fork; return the others."""
    by_package: dict[str, list[str]] = {}
    for name in names:
        by_package.setdefault(name.partition(".")[0], []).append(name)
    left_out = []
    for package, modules in by_package.items():
        child = os.fork()
        if child == 0:
            _import(modules)
            os._exit(_count_threads() - 1)
        _, status = os.waitpid(child, 0)
        if status == 0:
            _import(modules)
        else:
            left_out.append(package)
    return left_out


def _count_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@dataclass(frozen=True, slots=True)
class _Spare:
    """A waiting shim, whose child has imported the SDK in the environment ``env``."""

    orders: socket.socket
    env: Mapping[str, str]


class _Zygote:
    def __init__(self, agent: socket.socket) -> None:
        self._agent = agent
        self._spare: _Spare | None = None

    def serve(self, *, probe: bool) -> Become | None:
        """Start a task per request; return its program in a task's process, None at the end."""
        greeting = preload(probe=probe)
        self._agent.send(json.dumps(asdict(greeting)).encode())
        if greeting.threads != 1:
            return None
        while True:
            waiting, _, _ = select.select([self._agent], [], [], _REAP_EVERY)
            _reap()
            if not waiting:
                continue
            order = _receive(self._agent)
            if order is None:
                return None  # the agent has ended
            try:
                env = _shared_part(order.directory.read_start().env)
            except (FileNotFoundError, StateUnreadableError):
                os.close(order.ready)  # taken by an earlier agent's shim, or damaged
                continue
            become_task = self._start(order, env) or self._fork_spare(env)
            if become_task is not None:
                return become_task

    def _start(self, order: Order, env: Mapping[str, str]) -> Become | None:
        """Hand the attempt to the spare if its environment fits, or else to a new fork."""
        spare, self._spare = self._spare, None
        given = False
        if spare is not None:
            with spare.orders:
                given = spare.env == env and _send(spare.orders, order)
        if not given and os.fork() == 0:
            self._agent.detach()  # supervise closes it; the object must not close it again
            return _task_of(supervise(lambda: order, using=order.ready))
        os.close(order.ready)
        return None

    def _fork_spare(self, env: Mapping[str, str]) -> Become | None:
        parent_socket, child_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._agent.detach()
            parent_socket.detach()

            def prepare() -> None:
                child_socket.detach()
                _set_environment(env)
                _import(_SDK)

            return _task_of(
                supervise(
                    lambda: _receive(child_socket), using=child_socket.fileno(), prepare=prepare
                )
            )
        child_socket.close()
        self._spare = _Spare(parent_socket, env)
        return None


def _task_of(start: Start) -> Become:
    return lambda: become(start)


def _receive(orders: socket.socket) -> Order | None:
    """Return the next order, None once the sender has closed the socket."""
    text, descriptors, _, _ = socket.recv_fds(orders, REQUEST_BYTES, 1)
    return Order(AttemptDirectory(Path(text.decode())), descriptors[0]) if text else None


def _send(orders: socket.socket, order: Order) -> bool:
    try:
        socket.send_fds(orders, [str(order.directory.path).encode()], [order.ready])
    except OSError:
        return False  # the spare has ended
    return True


def _shared_part(env: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in env.items() if name not in _PER_ACTION}


def _import(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - a task that needs it will raise it again
            continue


def _set_environment(env: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass  # no children


def become(start: Start) -> None:
    """
    Run the program ``start.argv[0]`` in this interpreter, as its ``__main__``.

    The interpreter ends as usual afterwards, which writes what open files still buffer.
    """
    program = start.argv[0]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # the interpreter's default
    _set_environment(start.env)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()  # else all forks draw the same numbers; fork reseeds Python's own
    sys.argv[:] = start.argv
    sys.path.insert(0, str(Path(program).parent))
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    module.__dict__.update(__file__=program, __builtins__=__builtins__)
    code = compile(Path(program).read_bytes(), program, "exec")
    try:
        exec(code, module.__dict__)  # noqa: S102 - runs the task's program
    except Exception as error:  # noqa: BLE001 - as the interpreter does
        frames = error.__traceback__ and error.__traceback__.tb_next  # without this function's
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        sys.exit(1)


if __name__ == "__main__":
    main()
