"""
``make demo``: starts the stack, runs one workflow with the ``flyte`` command, stops the stack.

Nothing is special to the demo. The stack is ``volary up`` on free ports, the client is
the SDK's own command line, and all files that it leaves are in ``.volary/``.
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
from urllib.request import Request, urlopen

from controlplane.web import console
from scripts.sdk_exits import KILLED_AT_EXIT

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".volary"
DATA = HOME / "demo"
LOG = HOME / "demo.log"
PLACE = ("--project", "flytesnacks", "--domain", "development")

_UP_SECONDS = 120.0
_RUN_SECONDS = 300.0
_STOP_SECONDS = 60.0


class DemoError(Exception):
    """The demo failed; the message names the step."""


def main() -> int:
    begun = time.monotonic()
    try:
        say("Starting an embedded Postgres, the control plane and an agent")
        with stack() as endpoint:
            print(f"Ready after {time.monotonic() - begun:.1f} s, at {endpoint}.")
            demonstrate(endpoint)
            say("Stopping everything")
    except DemoError as error:
        print(f"\nThe demo failed: {error}\nThe end of {LOG}:\n", file=sys.stderr)
        print(tail(LOG, lines=40), file=sys.stderr)
        return 1
    print(f"Done, {time.monotonic() - begun:.1f} s after the start.")
    print(
        "\nNext steps:\n"
        f"  .venv/bin/volary up --data-dir {DATA.relative_to(ROOT)}   the same stack, kept running\n"
        "  examples/README.md                           what to run on it\n"
        f"  {LOG.relative_to(ROOT)}                             the stack's log"
    )
    return 0


def demonstrate(endpoint: str) -> None:
    """Run a workflow of several tasks, and show its state with the commands of a user."""
    run = f"demo-{secrets.token_hex(4)}"
    page = f"http://{endpoint}/v2/domain/development/project/flytesnacks/runs/{run}"
    say("A workflow: one task that starts two, each of which starts three (examples/fan_out.py)")
    flyte(
        endpoint,
        *("run", *PLACE, "--name", run, "--follow"),
        *("examples/fan_out.py", "main", "--shelves", "2", "--books", "3"),
    )
    end = end_of(page)
    say(f"It {end}. Its nine actions:")
    flyte(endpoint, "get", "action", *PLACE, run)
    say("Its inputs and outputs:")
    flyte(endpoint, "get", "io", *PLACE, run)
    say("Its web page, while the stack runs:")
    print(page)
    if not console.is_built():
        print("(a plain page: `make console` builds the console, `make up` serves it)")
    if end != "succeeded":
        raise DemoError(f"the run {end}")


def end_of(page: str) -> str:
    """Wait for the run to end and return its state; DemoError after a timeout."""
    until = time.monotonic() + _RUN_SECONDS
    while time.monotonic() < until:
        request = Request(page, headers={"Accept": "application/json"})  # noqa: S310 - ours, http
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            run = json.load(answer)
        if "ended" in run:
            return str(run["state"])
        time.sleep(0.1)
    raise DemoError(f"the run did not end within {_RUN_SECONDS:.0f} s")


@contextmanager
def stack() -> Iterator[str]:
    """Run ``volary up`` for the length of a block; yields its endpoint. DemoError if it fails."""
    HOME.mkdir(exist_ok=True)
    state_file = DATA / "up.json"
    command = [sys.executable, "-m", "controlplane.cli", "up"]
    command += ["--data-dir", str(DATA), "--http-port", "0", "--link-port", "0"]
    with LOG.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield endpoint_of(process, state_file)
    finally:
        code = stop(process)
    if code != 0:
        raise DemoError(f"the stack exited with code {code}")


def endpoint_of(process: subprocess.Popen[bytes], state_file: Path) -> str:
    until = time.monotonic() + _UP_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise DemoError("the stack exited before it was ready")
        try:
            state = json.loads(state_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            state = {}  # not written yet, or not completely
        if state.get("pid") == process.pid:  # else it is left from a killed stack
            return str(state["endpoint"])
        time.sleep(0.05)
    raise DemoError(f"the stack was not ready within {_UP_SECONDS:.0f} s")


def stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def flyte(endpoint: str, *arguments: str) -> None:
    """Print a ``flyte`` command and run it; DemoError if it fails."""
    program = str(Path(sys.executable).with_name("flyte"))
    command = [program, "--endpoint", endpoint, "--insecure", *arguments]
    print(f"$ {shlex.join(['flyte', *command[1:]])}", flush=True)
    environment = {
        **os.environ,
        "HOME": str(HOME / "home"),  # keeps the SDK's caches out of the user's home
        "DO_NOT_TRACK": "1",
        "LOG_LEVEL": "ERROR",  # of the SDK, here and in the tasks
    }
    if not sys.stdout.isatty():
        environment.setdefault("COLUMNS", "200")
    (HOME / "home").mkdir(exist_ok=True)
    try:
        code = subprocess.run(  # noqa: S603 - our own command line
            command, cwd=ROOT, env=environment, check=False, timeout=_RUN_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        raise DemoError(f"`flyte {arguments[0]}` took more than {_RUN_SECONDS:.0f} s") from None
    if code in KILLED_AT_EXIT:  # the state of the run is asked for by itself
        print(f"({signal.Signals(-code).name} ended `flyte` while it exited; see the run's state)")
    elif code != 0:
        raise DemoError(f"`flyte {arguments[0]}` exited with code {code}")


def say(sentence: str) -> None:
    print(f"\n== {sentence}", flush=True)


def tail(log: Path, *, lines: int) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
