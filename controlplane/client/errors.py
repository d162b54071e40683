"""
Errors of the client; each has the exit code of a command that it ends.

* ClientError (1): the message says what to do.
    - LoginRequiredError (4): there is no valid login or API key.
    - UnreachableError (5): no answer, or "unavailable"; the same command may work later.
    - CallRefusedError (1; 4 and 5 by its code): the control plane refused the call.
"""

REFUSED, LOGIN_REQUIRED, UNREACHABLE = 1, 4, 5

_EXIT_CODES = {
    "unauthenticated": LOGIN_REQUIRED,
    "unavailable": UNREACHABLE,
    "deadline_exceeded": UNREACHABLE,
}


class ClientError(Exception):
    """The command cannot go on; the message is for its user."""

    exit_code = REFUSED


class LoginRequiredError(ClientError):
    """There is no valid login or API key."""

    exit_code = LOGIN_REQUIRED


class UnreachableError(ClientError):
    """The control plane did not answer; the same command may work later."""

    exit_code = UNREACHABLE


class CallRefusedError(ClientError):
    """The control plane refused a call; ``code`` is Connect's, as in ``not_found``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message or code)
        self.code = code
        self.exit_code = _EXIT_CODES.get(code, REFUSED)
