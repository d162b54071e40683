"""The fence of a machine: who looks at it knows until when to run, and errs on the safe side."""

import json
from pathlib import Path

import pytest

from dataplane.agent.runtimes.process.fence import FenceFile


def test_a_fence_that_nobody_opened_is_closed(tmp_path: Path) -> None:
    assert FenceFile(tmp_path / "fence").is_closed


def test_it_closes_by_itself(tmp_path: Path) -> None:
    fence = FenceFile(tmp_path / "fence")
    fence.open_for(60)
    assert not fence.is_closed
    fence.open_for(-1)
    assert fence.is_closed


def test_what_was_allowed_before_a_restart_of_the_machine_is_not_allowed_after(
    tmp_path: Path,
) -> None:
    fence = FenceFile(tmp_path / "fence")
    fence.open_for(60)
    _, until = json.loads(fence.path.read_text())
    fence.path.write_text(json.dumps(["another boot", until]))
    assert fence.is_closed


@pytest.mark.parametrize("text", ["", "garbage", "null", "[1]", '["a", null]', "{}", "[" * 100_000])
def test_unreadable_fence_is_closed(tmp_path: Path, text: str) -> None:
    fence = FenceFile(tmp_path / "fence")
    fence.path.write_text(text)
    assert fence.is_closed


def test_fence_that_is_no_file_is_closed(tmp_path: Path) -> None:
    (tmp_path / "fence").mkdir()
    assert FenceFile(tmp_path / "fence").is_closed
