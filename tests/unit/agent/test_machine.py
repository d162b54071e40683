"""Tests of the memory that the agent measures on its machine."""

from datetime import timedelta
from pathlib import Path

import pytest

from dataplane.agent.runtimes import machine
from tests.fakes.clock import FakeClock


def test_free_memory_is_reread_after_interval_or_clock_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_reported, clock = tmp_path / "meminfo", FakeClock()
    monkeypatch.setattr(machine, "_MEMINFO", last_reported)
    free = machine.FreeMemory(clock)

    def read(kilobytes: int) -> int:
        last_reported.write_text(f"MemAvailable:    {kilobytes} kB\n")
        return free() // 1024

    assert read(1) == 1
    assert read(2) == 1
    clock.advance(timedelta(seconds=1))
    assert read(3) == 3
    clock.advance(-timedelta(hours=1))
    assert read(4) == 4
