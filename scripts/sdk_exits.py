"""
The exit code that a program of the SDK meant.

The SDK's HTTP client, pyqwest, may end its program by a signal while Python shuts down, when all
work is done: 3 of 360 ``flyte`` commands over TLS, with Python 3.11. curioswitch/pyqwest#164 is of
the same kind: threads ask for Python's lock, which Python before 3.14 answers by ending them.
"""

import signal

KILLED_AT_EXIT = frozenset({-signal.SIGABRT, -signal.SIGBUS, -signal.SIGSEGV})


def intended_exit_code(code: int, output: str) -> int:
    """
    Return the exit code that was meant, given the code there is and all that the program wrote.

    The signal takes the place of the code, so the output says whether the program had failed.
    """
    if code not in KILLED_AT_EXIT:
        return code
    return int("traceback (most recent call last)" in output.lower() or "─ Error" in output)


def require_success(code: int | None, output: str) -> None:
    """Raise AssertionError with the output, unless a program of the SDK has meant to succeed."""
    if code is None or intended_exit_code(code, output) != 0:
        raise AssertionError(f"ended with {code}: {output}")
