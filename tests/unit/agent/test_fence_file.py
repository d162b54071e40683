"""Tests of a machine's fence file: the deadline of replaceable attempts, which fails closed."""

import json
from pathlib import Path

import pytest

from dataplane.agent.runtimes.process.fence import FenceFile


def test_missing_fence_file_is_closed(tmp_path: Path) -> None:
    assert FenceFile(tmp_path / "fence").is_closed


def test_fence_file_closes_at_its_deadline(tmp_path: Path) -> None:
    fence = FenceFile(tmp_path / "fence")
    fence.open_for(60)
    assert not fence.is_closed
    fence.open_for(-1)
    assert fence.is_closed


def test_fence_file_is_closed_after_reboot(
    tmp_path: Path,
) -> None:
    fence = FenceFile(tmp_path / "fence")
    fence.open_for(60)
    _, until = json.loads(fence.path.read_text())
    fence.path.write_text(json.dumps(["another boot", until]))
    assert fence.is_closed


@pytest.mark.parametrize("text", ["", "garbage", "null", "[1]", '["a", null]', "{}", "[" * 100_000])
def test_unreadable_fence_file_is_closed(tmp_path: Path, text: str) -> None:
    fence = FenceFile(tmp_path / "fence")
    fence.path.write_text(text)
    assert fence.is_closed


def test_fence_file_that_is_a_directory_is_closed(tmp_path: Path) -> None:
    (tmp_path / "fence").mkdir()
    assert FenceFile(tmp_path / "fence").is_closed
