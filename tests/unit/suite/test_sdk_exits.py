"""Exit codes of the SDK's programs, whose HTTP client may kill them after their work is done."""

import signal

import pytest

from scripts.sdk_exits import intended_exit_code


@pytest.mark.parametrize("code", [0, 1, 2, -signal.SIGKILL, -signal.SIGTERM])
def test_other_exit_codes_are_what_they_are(code: int) -> None:
    assert intended_exit_code(code, "") == code


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV])
def test_signal_at_exit_is_success_unless_the_output_shows_an_error(number: int) -> None:
    assert intended_exit_code(-number, "Created Run: r1") == 0
    assert intended_exit_code(-number, "Traceback (most recent call last):") == 1
    assert intended_exit_code(-number, "╭─ Error ─╮") == 1
