"""The suite's own plugin: what a failed test shows of the programs that it used."""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_TESTS = """
from pathlib import Path
from tests import program_logs

LOG = Path(__file__).with_name("server.log")
ATTEMPTS = Path(__file__).with_name("attempts")

def test_passes():
    LOG.write_text("said in the test before\\n")
    program_logs.follow("server", LOG)

def test_fails():
    with LOG.open("a") as log:
        log.write("x" * 50_000 + "\\nsaid in the test that failed\\n")
    (ATTEMPTS / "one").mkdir(parents=True)
    (ATTEMPTS / "one" / "log.jsonl").write_text("said by a task\\n")
    program_logs.follow("attempt", ATTEMPTS)
    assert False
"""


def _run(home: Path) -> str:
    file = home / "test_it.py"
    file.write_text(_TESTS)
    done = subprocess.run(  # noqa: S603 -- our own interpreter
        [sys.executable, "-m", "pytest", "-p", "tests.program_logs", "-p", "no:xdist",
         "-p", "no:cacheprovider", "--rootdir", home, file],
        cwd=home, env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout


def test_failed_test_shows_what_its_programs_logged_since_it_began(tmp_path: Path) -> None:
    shown = _run(tmp_path)
    assert "1 failed, 1 passed" in shown
    assert "said in the test that failed" in shown
    assert "attempt one logged" in shown
    assert "said by a task" in shown
    assert "said in the test before" not in shown
    assert len(shown) < 20_000
