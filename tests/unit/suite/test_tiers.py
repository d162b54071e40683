"""The run after ``make coverage`` leaves out what that has run, and nothing else."""

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
