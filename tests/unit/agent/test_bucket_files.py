"""Tests of the SDK plugin that copies files of a ``file://`` store in tasks, and only there."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from dataplane.agent.runtimes.process import bucket_files

PROGRAM = """
import sys
from dataplane.agent.runtimes.process import bucket_files
bucket_files.install()
print("flyte" in sys.modules)
"""


def test_bucket_files_plugin_is_found_by_sdk() -> None:
    [found] = entry_points(group="flyte.plugins.types", name="volary-bucket-files")

    assert found.load() is bucket_files.install


@pytest.mark.parametrize("run_base", ["", "s3://bucket/acme/p/development/r1"])
def test_bucket_files_plugin_is_inactive_outside_tasks_on_a_directory(
    run_base: str,
) -> None:
    ran = subprocess.run(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "_U_RUN_BASE": run_base},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "False\n"


def test_bucket_files_copy_directory_like_a_bucket(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "below" / "note").write_text("text")
    (source / "link").symlink_to(source / "below" / "note")
    (source / "dangling").symlink_to("nowhere")
    os.mkfifo(source / "pipe")

    bucket_files.copy(source, tmp_path / "target")

    copied = {
        str(path.relative_to(tmp_path / "target")): path.read_text()
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert copied == {"below/note": "text", "link": "text"}
    assert not (tmp_path / "target" / "link").is_symlink()
