"""
``make demo``: the whole stack, one workflow through the ordinary ``flyte`` command, and out.

Nothing here is special to the demo. The stack is ``volary up`` on free ports, the client is
the SDK's own command line, and everything it leaves behind is in ``.volary/``.
"""

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".volary"
DATA = HOME / "demo"
LOG = HOME / "demo.log"
PLACE = ("--project", "flytesnacks", "--domain", "development")

_UP_SECONDS = 120.0
_RUN_SECONDS = 300.0
_STOP_SECONDS = 60.0


class DemoError(Exception):
    """The demo did not work; the message says at which step."""


def main() -> int:
    begun = time.monotonic()
    try:
        say("Starting the embedded Postgres, the control plane and an agent")
        with stack() as endpoint:
            say(f"They are up at {endpoint}, {time.monotonic() - begun:.1f} s after the start")
            demonstrate(endpoint)
            say("Stopping everything")
    except DemoError as error:
        print(f"\nThe demo failed: {error}\nThe end of {LOG}:\n", file=sys.stderr)
        print(tail(LOG, lines=40), file=sys.stderr)
        return 1
    say(f"Done in {time.monotonic() - begun:.1f} s; the database and the files are in {DATA}")
    print("\nNext: `make up` keeps the stack running, examples/README.md says what to run on it.")
    return 0


def demonstrate(endpoint: str) -> None:
    """Run a workflow of several tasks, and look at it the way a user would."""
    run = f"demo-{secrets.token_hex(4)}"
    say("Running examples/fan_out.py: one task that calls two, each of which calls three")
    flyte(
        endpoint,
        *("run", *PLACE, "--name", run, "--follow"),
        *("examples/fan_out.py", "main", "--shelves", "2", "--books", "3"),
    )
    say("Its actions")
    flyte(endpoint, "get", "action", *PLACE, run)
    say("Its inputs and its result")
    flyte(endpoint, "get", "io", *PLACE, run)
    say("Its page, while the stack is up (the console is not built yet)")
    print(f"http://{endpoint}/v2/domain/development/project/flytesnacks/runs/{run}")


@contextmanager
def stack() -> Iterator[str]:
    """Run ``volary up`` beside a block, which gets its endpoint; DemoError if it fails."""
    HOME.mkdir(exist_ok=True)
    told = DATA / "up.json"
    command = [sys.executable, "-m", "controlplane.cli", "up"]
    command += ["--data-dir", str(DATA), "--http-port", "0", "--link-port", "0"]
    with LOG.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield endpoint_of(process, told)
    finally:
        code = stop(process)
    if code != 0:
        raise DemoError(f"the stack ended with code {code}")


def endpoint_of(process: subprocess.Popen[bytes], told: Path) -> str:
    until = time.monotonic() + _UP_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise DemoError("the stack did not come up")
        try:
            where = json.loads(told.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            where = {}  # not yet, or not wholly
        if where.get("pid") == process.pid:  # and not one that was killed here earlier
            return str(where["endpoint"])
        time.sleep(0.05)
    raise DemoError(f"the stack was not up within {_UP_SECONDS:.0f} s")


def stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def flyte(endpoint: str, *arguments: str) -> None:
    """Show an ordinary ``flyte`` command and run it; DemoError if it fails."""
    program = str(Path(sys.executable).with_name("flyte"))
    command = [program, "--endpoint", endpoint, "--insecure", *arguments]
    print(f"$ {shlex.join(['flyte', *command[1:]])}", flush=True)
    environment = {
        **os.environ,
        "HOME": str(HOME / "home"),  # the SDK's caches stay out of yours
        "DO_NOT_TRACK": "1",
    }
    (HOME / "home").mkdir(exist_ok=True)
    try:
        code = subprocess.run(  # noqa: S603 - our own command line
            command, cwd=ROOT, env=environment, check=False, timeout=_RUN_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        raise DemoError(f"`flyte {arguments[0]}` took more than {_RUN_SECONDS:.0f} s") from None
    if code != 0:
        raise DemoError(f"`flyte {arguments[0]}` ended with code {code}")


def say(sentence: str) -> None:
    print(f"\n== {sentence}", flush=True)


def tail(log: Path, *, lines: int) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
