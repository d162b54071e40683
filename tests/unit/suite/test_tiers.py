"""Tests of the plugin of tiers: what it leaves out of a run, and what it says during one."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_run_after_coverage_leaves_out_unit_tests_but_no_properties() -> None:
    files = ("tests/unit/shared/kit/test_gzip.py", "tests/architecture/test_plain_words.py")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "--after-coverage"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    left = [line for line in done.stdout.splitlines() if "::" in line]
    of_unit = [test for test in left if test.startswith(files[0])]
    assert of_unit == [
        f"{files[0]}::test_compressed_data_decompresses_to_itself",
        f"{files[0]}::test_stream_is_compressed_to_one_member",
    ]
    assert len(left) > len(of_unit)
    assert "deselected" in done.stdout


def test_failed_test_is_named_before_the_run_ends(tmp_path: Path) -> None:
    tests = tmp_path / "test_two.py"
    tests.write_text("def test_fails(): assert 0\n\ndef test_passes(): print('the second ran')\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.tiers",
        "-s",
        "-c",
        os.devnull,
        str(tests),
    ]
    env = {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)  # noqa: S603, PLW1510
    named, ran = "failed in its call: test_two.py::test_fails", "the second ran"
    assert named in done.stdout, done.stdout
    assert done.stdout.index(named) < done.stdout.index(ran)
