"""Files that people read in one sitting."""

import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MOST_LINES = 400
_SOURCES = ("*.py", "*.go", "*.ts", "*.tsx", "*.css")
_GENERATED = ("_pb2.py", "_pb2_grpc.py")
_EXCEPTIONS = {
    "controlplane/store/migrations/versions/20261121_01_expand_foundation.py": (
        "a migration that is released does not change"
    ),
}


@pytest.mark.parametrize("pattern", _SOURCES)
def test_no_file_is_longer_than_400_lines(pattern: str) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    listed = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    names = [
        name
        for name in listed.splitlines()
        if not name.endswith(_GENERATED) and (_ROOT / name).exists()
    ]
    lengths = {name: len((_ROOT / name).read_text().splitlines()) for name in names}
    long = {name: length for name, length in lengths.items() if length > _MOST_LINES}
    assert long.keys() - _EXCEPTIONS.keys() == set(), f"split what is longer: {long}"
