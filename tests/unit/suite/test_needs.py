"""Packages that ``make test`` installs before it begins, and its report of the others."""

import sys
from pathlib import Path

from tests.needs import Need, find_needs, install


def make_need(program: Path, *, lacks: str = "", code: str = "") -> Need:
    return Need(
        name="frobnicator",
        loses="frobnication",
        is_there=program.exists,
        lacks=lambda: lacks,
        install=(sys.executable, "-c", code or f"open({str(program)!r}, 'w')"),
        remedy="build one",
    )


def test_absent_program_is_installed(tmp_path: Path) -> None:
    program = tmp_path / "frobnicator"
    assert install([make_need(program)]) == []
    assert program.exists()


def test_present_program_is_not_installed_again(tmp_path: Path) -> None:
    program = tmp_path / "frobnicator"
    program.touch()
    assert install([make_need(program, code="raise SystemExit('not again')")]) == []


def test_program_that_may_not_be_installed_is_named_with_its_cost_and_remedy(
    tmp_path: Path,
) -> None:
    [sentence] = install([make_need(tmp_path / "frobnicator", lacks="that takes root")])
    for part in ("frobnication", "frobnicator", "that takes root", "build one"):
        assert part in sentence
    assert not list(tmp_path.iterdir())


def test_failed_installation_shows_the_installers_output(tmp_path: Path) -> None:
    code = "raise SystemExit('no such wheel')"
    [sentence] = install([make_need(tmp_path / "frobnicator", code=code)])
    assert "no such wheel" in sentence
    assert "ended with 1" in sentence


def test_installation_that_brings_nothing_is_left_out(tmp_path: Path) -> None:
    [sentence] = install([make_need(tmp_path / "frobnicator", code="pass")])
    assert "ended with 0" in sentence


def test_needs_are_programs_that_the_skips_of_tests_name() -> None:
    assert [need.name.split()[0] for need in find_needs()] == [
        "Go",
        "npm",
        "Terraform",
        "Chromium",
        "Prometheus",
        "packages",
    ]
