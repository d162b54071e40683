"""
Tests the link under seeded faults: a short run of ``make simulate``.

A failure names its seed: ``make simulate SEED=…`` replays it and prints all events.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.schedule import run

SHARES = 4
SCHEDULES = 25
"""The seeds of one test case; workers take one case each. In total some ten seconds."""


@pytest.mark.parametrize("allocate", range(SHARES))
def test_simulated_schedules_break_no_invariant(allocate: int) -> None:
    for seed in range(allocate, SHARES * SCHEDULES, SHARES):
        status = run(seed)
        assert not status.broken, f"make simulate SEED={seed}: {status.broken}"


def test_simulation_seed_reproduces_the_schedule() -> None:
    """A replay in another process, with other addresses and hashes, has the same steps."""
    here = [(status.steps, status.trace) for status in map(run, (3, 89))]
    last_reported = [f"{steps} {hash_of(trace)}" for steps, trace in here]
    for hashes in ("1", "2"):
        assert replay(hashes) == last_reported


def hash_of(trace: list[str]) -> int:
    return sum(len(line) * (number + 1) for number, line in enumerate(trace))


def replay(hashes: str) -> list[str]:
    script = (
        "from tests.simulation.schedule import run;"
        "from tests.simulation.test_simulation import hash_of;"
        "[print(v.steps, hash_of(v.trace)) for v in map(run, (3, 89))]"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(  # noqa: S603 -- our own command line
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split("\n")[:-1]
