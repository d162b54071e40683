"""The benchmarks as programs: help that runs nothing, and figures that can be compared."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import turns
from benchmarks.stack import RESULTS, table

ROOT = Path(__file__).parents[3]
PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in (ROOT / "benchmarks").rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_benchmark_help_prints_the_usage_and_measures_nothing(program: str) -> None:
    helped = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-m", program, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert helped.stdout.startswith("usage: ")
    assert "┏" not in helped.stdout, "a table: it has measured something"


def test_benchmarks_by_turns_are_compared_row_by_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measured(rate: str, size: str) -> turns.Measures:
        results = tmp_path / f"{rate}-{size}"
        monkeypatch.setenv(RESULTS, str(results))
        with table("Dispatch", "measure", "value") as rows:
            rows.add_row("actions/s", rate)
            rows.add_row("  resident MB (grown by)", size)
            rows.add_row("the client", "not measured")
        return turns.parse_results(results.read_text())

    before = [measured("100", "50 (2)"), measured("200", "50 (3)"), measured("120", "50 (2)")]
    after = [measured("180", "40 (2)"), measured("150", "41 (1)"), measured("300", "39 (1)")]

    assert turns.compare(before, after) == [
        ["Dispatch: actions/s", "120 (100 to 200)", "180 (150 to 300)", "1.50"],
        ["Dispatch: resident MB (grown by)", "50 (50 to 50)", "40 (39 to 41)", "0.80"],
    ]


def test_benchmarks_by_turns_refuse_a_commit_that_does_not_exist() -> None:
    with pytest.raises(SystemExit, match="no-such-branch is not a commit"):
        turns.commit_of("no-such-branch")
