"""Logs a person in: by a browser on this machine, or on another with a code."""

import secrets
import sys
from collections.abc import Callable, Mapping

from controlplane.client import callback
from controlplane.client.authorization import AuthorizationServer, Tokens, new_challenge
from controlplane.client.errors import ClientError
from shared.kit.secrets import SecretText

WAIT_SECONDS = 600.0
"""How long a person has for the pages of a login."""

Show = Callable[[str], None]


def has_browser(environment: Mapping[str, str]) -> bool:
    """Return whether a browser on this machine can be opened, and be seen by its user."""
    if environment.get("BROWSER"):
        return True
    if sys.platform in {"darwin", "win32"}:
        return not environment.get("SSH_CONNECTION")
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def log_in_by_browser(server: AuthorizationServer, show: Show, port: int = 0) -> Tokens:
    """Open a browser, and wait for its answer on a port of loopback."""
    import webbrowser  # noqa: PLC0415

    state = secrets.token_urlsafe(24)
    verifier, challenge = new_challenge()
    with callback.listening(state, port) as listening:
        url = server.authorize_url(
            redirect_uri=listening.redirect_uri, state=state, challenge=challenge
        )
        show(f"Log in in the browser. If none opens, open this address on this machine:\n{url}")
        webbrowser.open(url)
        answer = listening.wait(WAIT_SECONDS)
        try:
            tokens = _finish(server, answer.parameters, listening.redirect_uri, verifier)
        except ClientError as error:
            answer.fail(str(error))
            raise
        except BaseException:
            answer.fail("The command was stopped.")
            raise
        answer.succeed("You can close this page, and return to the terminal.")
        return tokens


def log_in_by_device(server: AuthorizationServer, show: Show) -> Tokens:
    """Show a code, which a person enters in a browser anywhere."""
    device = server.start_device()
    show(f"Open {device.uri} in a browser, and enter the code {device.user_code}")
    return server.wait_for_device(device)


def _finish(
    server: AuthorizationServer,
    parameters: Mapping[str, str],
    redirect_uri: str,
    verifier: SecretText,
) -> Tokens:
    error = parameters.get("error", "")
    if error:
        described = parameters.get("error_description") or error
        raise ClientError(f"the login failed: {_printable(described)}")
    code = parameters.get("code", "")
    if not code:
        raise ClientError("the login failed: the browser brought no code")
    return server.redeem(SecretText(code), redirect_uri=redirect_uri, verifier=verifier)


def _printable(text: str) -> str:
    """Keep control characters of a foreign page from the terminal."""
    return "".join(each if each.isprintable() else " " for each in text[:300])
