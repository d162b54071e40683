"""
Runs one benchmark by turns in clones of two commits, and prints the ratio of each measure.

On a shared machine only such a ratio says something: both commits see the same neighbours. Each
clone has its own ``.venv`` with the packages of its commit, and is kept in ``.cache/turns``. Both
are measured by the ``benchmarks`` of this directory, which therefore use public interfaces only.

    python -m benchmarks.turns --before v1 --after main -- dispatch --count 1000
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.stack import RESULTS

_ROOT = Path(__file__).parent.parent
_CLONES = _ROOT / ".cache" / "turns"

Measures = Mapping[str, float]
"""Values by the title of their table and the label of their row."""


def commit_of(name: str) -> str:
    """Return the full id of a commit, branch or tag; exits with a message if there is none."""
    found = subprocess.run(  # noqa: S603
        ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],  # noqa: S607
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        sys.exit(f"{name} is not a commit of {_ROOT}")
    return found.stdout.strip()


def prepare(commit: str) -> Path:
    """Return a clone of the commit with its packages and with the benchmarks of this directory."""
    clone = _CLONES / commit[:12]
    if not clone.exists():
        clone.parent.mkdir(parents=True, exist_ok=True)
        _run(
            ["git", "clone", "--quiet", "--shared", "--no-checkout", str(_ROOT), str(clone)], _ROOT
        )
        _run(["git", "checkout", "--quiet", commit], clone)
    _run(["make", "setup"], clone)
    shutil.rmtree(clone / "benchmarks")
    shutil.copytree(
        _ROOT / "benchmarks", clone / "benchmarks", ignore=shutil.ignore_patterns("__pycache__")
    )
    return clone


def _run(command: Sequence[str], cwd: Path) -> None:
    # The clone's programs, not those of the environment that runs this.
    path = os.pathsep.join([str(cwd / ".venv" / "bin"), os.environ["PATH"]])
    subprocess.run(  # noqa: S603
        command, cwd=cwd, check=True, stdout=sys.stderr, env={**os.environ, "PATH": path}
    )


def measure(clone: Path, words: Sequence[str]) -> Measures:
    """Run a benchmark in a clone and return the numbers of its tables."""
    with tempfile.TemporaryDirectory(prefix="volary-turns-") as home:
        results = Path(home, "results")
        results.touch()
        subprocess.run(  # noqa: S603
            [str(clone / ".venv/bin/python"), "-m", f"benchmarks.{words[0]}", *words[1:]],
            cwd=clone,
            check=True,
            stdout=sys.stderr,
            env={**os.environ, RESULTS: str(results)},
        )
        return parse_results(results.read_text())


def parse_results(text: str) -> Measures:
    """Parse what ``benchmarks.stack.table`` wrote; rows without a number are left out."""
    measures: dict[str, float] = {}
    for line in text.splitlines():
        table = json.loads(line)
        for label, value, *_ in table["rows"]:
            if number := re.match(r"-?\d+(\.\d+)?", value):
                measures[f"{table['title']}: {label.strip()}"] = float(number[0])
    return measures


def compare(before: Sequence[Measures], after: Sequence[Measures]) -> Sequence[Sequence[str]]:
    """Return a row for each measure: its name, both medians with their ranges, and the ratio."""
    rows = []
    for name in before[0]:
        old = [turn[name] for turn in before if name in turn]
        new = [turn[name] for turn in after if name in turn]
        if not new:
            continue
        middle = statistics.median(old)
        ratio = f"{statistics.median(new) / middle:.2f}" if middle else "-"
        rows.append([name, _range(old), _range(new), ratio])
    return rows


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):g} ({min(values):g} to {max(values):g})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", required=True, help="a commit, branch or tag")
    parser.add_argument("--after", default="HEAD", help="a commit, branch or tag")
    parser.add_argument("--turns", type=int, default=3, help="how often each commit is measured")
    parser.add_argument("benchmark", nargs="+", help="name and options of a benchmark, after --")
    options = parser.parse_args()
    commits = [commit_of(options.before), commit_of(options.after)]
    clones = [prepare(commit) for commit in commits]
    found: tuple[list[Measures], list[Measures]] = ([], [])
    loads = [os.getloadavg()[0]]
    for turn in range(options.turns):
        # Every other turn begins with the other commit, so that neither always goes first.
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            found[which].append(measure(clones[which], options.benchmark))
            loads.append(os.getloadavg()[0])
    table = Table(title=f"{' '.join(options.benchmark)}: {options.turns} turns")
    for title in ("measure", commits[0][:9], commits[1][:9], "ratio"):
        table.add_column(title, justify="left" if title == "measure" else "right")
    for row in compare(*found):
        table.add_row(*row)
    console = Console(width=150)
    console.print(table)
    console.print(f"medians (lowest to highest); load average {min(loads):.1f} to {max(loads):.1f}")


if __name__ == "__main__":
    main()
