"""
A process with the SDK's dependencies imported, of which attempts are forked.

Starting ``a0`` is nearly all imports. The zygote does those that are the same for every
task, and only those: everything the SDK imports but the SDK itself, because importing
``flyte`` starts a thread (which would not exist in a fork) and reads the environment
(which is the task's own). A thread is fatal to forking, so the zygote counts its threads
and refuses to serve with more than one; the agent then starts tasks from nothing.

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
from collections.abc import Callable
from pathlib import Path

from dataplane.agent.runtimes.process import shim
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start

REQUEST_BYTES = 4096
_REAP_EVERY = 1.0  # seconds

# Everything a0 imports on its way to the task. Names that a later SDK lacks are skipped.
_SCOUT = """
import importlib, json, sys
before = set(sys.modules)
for name in (
    "flyte._bin.runtime", "flyte.errors", "flyte.storage", "flyte._initialize",
    "flyte._internal.controllers.remote", "flyte._internal.image_cache",
    "flyte._internal.resolvers.default", "flyte._internal.runtime.entrypoints",
    "flyte.remote", "flyte.remote._client.controlplane",
    "faulthandler", "fsspec.implementations.local", "h2.connection", "httpcore",
    "httpcore._backends.anyio", "obstore.store", "opentelemetry.baggage.propagation",
    "opentelemetry.metrics", "opentelemetry.propagate",
    "opentelemetry.trace.propagation.tracecontext", "pyqwest._glue",
):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
print(json.dumps([name for name in sys.modules if name not in before]))
"""


def main() -> None:
    """Serve the socket whose descriptor is our only argument, until it closes."""
    sys.path[:] = [entry for entry in sys.path if entry]  # "" is there because of -c
    task = _serve(socket.socket(fileno=int(sys.argv[1])))
    if task is not None:
        task()


def preload() -> int:
    """Import what the SDK needs; return how many threads that left us with."""
    scout = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _SCOUT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    for name in json.loads(scout.stdout):
        if name.partition(".")[0] in {"flyte", "__main__", "__mp_main__"}:
            continue
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001, S112 - one module less is only slower
            continue
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, every page we share
    return len(list(Path("/proc/self/task").iterdir()))


def _serve(agent: socket.socket) -> Callable[[], None] | None:
    """Fork a shim for each request; return the task to become in a task's process."""
    threads = preload()
    agent.send(json.dumps({"threads": threads}).encode())
    if threads != 1:
        return None
    while True:
        readable, _, _ = select.select([agent], [], [], _REAP_EVERY)
        _reap()
        if not readable:
            continue
        request, descriptors, _, _ = socket.recv_fds(agent, REQUEST_BYTES, 1)
        if not request:
            return None  # the agent is gone
        (ready,) = descriptors
        if os.fork() == 0:
            start = shim.keep(AttemptDirectory(Path(request.decode())), ready)
            return lambda: become(start)
        os.close(ready)


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
    os.environ.clear()
    os.environ.update(start.env)
    sys.argv[:] = start.argv
    sys.path.insert(0, str(Path(program).parent))
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    module.__dict__.update(__file__=program, __builtins__=__builtins__)
    code = compile(Path(program).read_bytes(), program, "exec")
    exec(code, module.__dict__)  # noqa: S102 - it is the interpreter's job, done by us


if __name__ == "__main__":
    main()
