"""Tasks for the agent's tests; a0 imports this as a user's module."""

# As users write code:
# ruff: noqa: ASYNC110, ASYNC220, ASYNC230, ASYNC240, PLC0415, PTH115, S603, T201

import asyncio
import atexit
import json
import os
import subprocess
import sys
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="t")


@env.task
async def add_one(x: int) -> int:
    print("adding one to", x)
    return x + 1


@env.task
async def read_variable(name: str) -> str:
    return os.environ[name]


@env.task
async def append(ledger: str, seconds: int) -> int:
    """Leave a mark that it ran, then take its time."""
    with Path(ledger).open("a") as file:
        file.write(f"{os.getpid()}\n")
    print("slept, nearly")
    await asyncio.sleep(seconds)
    return seconds


@env.task
async def fail(message: str) -> int:
    raise ValueError(message)


@env.task
async def fail_at_length(size: int) -> int:
    raise ValueError("x" * size)


@env.task
async def leave() -> int:
    print("leaving without a word")
    os._exit(0)


@env.task
async def exit_badly() -> int:
    print("about to exit")
    os._exit(3)


@env.task
async def crash() -> int:
    os.abort()


@env.task
async def crash_at_exit() -> int:
    atexit.register(os.abort)
    return 7


@env.task
async def grow(mebibytes: int) -> int:
    held = []
    for _ in range(mebibytes):
        held.append(bytearray(os.urandom(2**20)))
        await asyncio.sleep(0.002)
    await asyncio.sleep(60)
    return len(held)


@env.task
async def spawn(pids: str) -> int:
    """Start a child in its own session, and its child."""
    code = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '300']); "
        f"open({pids!r}, 'a').write(f' {{p.pid}}\\n'); time.sleep(300)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    Path(pids).write_text(f"{os.getpid()} {child.pid}")
    await asyncio.sleep(300)
    return 0


@env.task
async def ignore_sigterm(ready: str) -> int:
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(ready).touch()
    await asyncio.sleep(300)
    return 0


@env.task
async def finish_when_asked(ready: str) -> int:
    """Finish on SIGTERM."""
    import signal

    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    Path(ready).touch()
    await asked.wait()
    return 7


@env.task
async def end_by_signal(number: int) -> int:
    import signal

    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    await asyncio.sleep(300)
    return 0


@env.task
async def talk(lines: int) -> int:
    for number in range(lines):
        print("line", number)
    return lines


@env.task
async def talk_slowly(go: str) -> int:
    print("before")
    while not Path(go).exists():
        await asyncio.sleep(0.05)
    print("after")
    return 0


@env.task
async def copy_out(source: str) -> int:
    """Write what a file holds, as it grows, until it ends with the word "end"."""
    with Path(source).open(newline="") as file:
        while True:
            text = file.read()
            sys.stdout.write(text)
            sys.stdout.flush()
            if text.endswith("end\n"):
                return 0
            await asyncio.sleep(0.05)


@env.task
async def describe(path: str) -> int:
    """Write down all that a program can see of how it was started."""
    main = sys.modules["__main__"]
    description = {
        "env": dict(os.environ),
        "argv": sys.argv,
        "path": [entry for entry in sys.path if entry != "."],
        "main": [main.__name__, main.__file__, str(main.__spec__)],
        "umask": os.umask(0o022),
        "encoding": sys.stdout.encoding,
        "flags": str(sys.flags),
        "buffering": repr(sys.stdout),
        "session": os.getsid(0) == os.getppid(),
        "group": os.getpgid(0) == os.getpid(),
        "descriptors": sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in (0, 1, 2)),
    }
    Path(path).write_text(json.dumps(description))
    return 0


@env.task
async def describe_loaded(path: str) -> int:
    """Write down what was fixed when the C library, Python and packages were loaded."""
    import email.utils
    import locale
    import time
    from importlib import import_module

    description = {
        "zone": [time.strftime("%z"), time.tzname, time.localtime(0).tm_hour],
        "aware": email.utils.localtime().strftime("%z"),
        "collation": locale.setlocale(locale.LC_COLLATE),
        "preferred": locale.getpreferredencoding(),
        "encodings": [sys.stdout.encoding, sys.getfilesystemencoding()],
        "flags": str(sys.flags),
        "hash": hash("volary") if "PYTHONHASHSEED" in os.environ else 0,
        "fsspec": import_module("fsspec").config.conf,
        "msgpack": import_module("msgpack").Packer.__module__,
    }
    Path(path).write_text(json.dumps(description))
    return 0
