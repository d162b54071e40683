import signal
import subprocess
import sys
from pathlib import Path

from dataplane.copilot.readiness import handles_sigterm

LISTENING = "import signal; signal.signal(signal.SIGTERM, lambda *_: None); {rest}"
WAITING = "print('here', flush=True); input()"


def received(program: str) -> bool:
    with subprocess.Popen(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            return handles_sigterm(Path(f"/proc/{process.pid}/status"))
        finally:
            process.kill()


def test_sigterm_without_handler_is_not_ready() -> None:
    assert not received(WAITING)


def test_sigterm_with_handler_is_ready() -> None:
    assert received(LISTENING.format(rest=WAITING))


def test_sigterm_handler_is_distinguished_from_other_signals() -> None:
    other = f"import signal; signal.signal({signal.SIGALRM.value}, lambda *_: None); {WAITING}"
    assert not received(other)
