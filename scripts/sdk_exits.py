"""
The exit code that a program of the SDK meant.

The SDK's HTTP client (pyqwest) may kill its program by a signal while Python shuts down, when all
work is done: roughly one in a hundred ``flyte`` commands over TLS with Python 3.11. Its issue 164 is of the
same kind: its threads ask for Python's lock, which Python before 3.14 answers with ``pthread_exit``.
"""

import signal

_AT_EXIT = frozenset({-signal.SIGABRT, -signal.SIGBUS, -signal.SIGSEGV})


def intended_exit_code(code: int, output: str) -> int:
    """
    Return the exit code that was meant, given the code there is and all that the program wrote.

    The signal takes the place of the code, so the output says whether the program had failed.
    """
    if code not in _AT_EXIT:
        return code
    return int("traceback (most recent call last)" in output.lower() or "─ Error" in output)
