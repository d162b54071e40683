"""Pages on which a person logs in a program: allow it, enter a device's code, errors."""

from html import escape
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.responses import HTMLResponse

from controlplane.core.browser_sessions import ORGS
from controlplane.core.oauth import PUBLIC_CLIENTS, PendingDevice
from controlplane.oauth.html import form, page, problem, text_field
from controlplane.oauth.login_gate import SignedIn


def error_page(message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> HTMLResponse:
    """
    Show why a login cannot go on.

    The SDK is never told by a redirect with ``error``: its local server fails on one, and its
    user waits for ever.
    """
    body = (
        f"{problem(message)}"
        "<p>Close this page, stop the command in your terminal (Ctrl-C), and start it again.</p>"
    )
    return page("The login cannot go on", body, status=status)


def message_page(title: str, message: str) -> HTMLResponse:
    return page(title, f"<p>{escape(message)}</p>")


def consent_page(signed_in: SignedIn, client_id: str, action: str) -> HTMLResponse:
    """Ask whether a program may act for the person; ``action`` is where the form is sent."""
    body = (
        f"<p>{escape(_client_title(client_id))} on this computer asks to act for"
        f" <b>{escape(signed_in.name)}</b> in the org <b>{escape(signed_in.login.org)}</b>.</p>"
        "<p>Allow it only if you have just started it.</p>"
        + _decision(action, signed_in, {"allow": "Allow", "deny": "Deny"})
    )
    return page("Allow this program?", body, footer=_other_org(action))


def device_code_page(
    signed_in: SignedIn, user_code: str = "", message: str = "", *, status: HTTPStatus
) -> HTMLResponse:
    """Ask for the code that a device shows."""
    entry = text_field("user_code", "Code shown by the device", value=user_code, most=20)
    body = problem(message) + _decision("/device", signed_in, {"find": "Continue"}, entry=entry)
    return page("Log in a device", body, status=status, footer=_other_org("/device"))


def device_consent_page(signed_in: SignedIn, user_code: str, device: PendingDevice) -> HTMLResponse:
    """Ask whether the device that shows this code may act for the person."""
    asked = device.asked_at.strftime("%H:%M:%S UTC")
    body = (
        f"<p>{escape(_client_title(device.client_id))}, started at {asked} from the address"
        f" {escape(device.peer)}, asks to act for <b>{escape(signed_in.name)}</b> in the org"
        f" <b>{escape(signed_in.login.org)}</b>.</p>"
        f'<p>It shows the code <b class="code">{escape(user_code)}</b>. Allow it only if you have'
        " started it yourself: a code that you got in a message logs in its sender.</p>"
        + _decision(
            "/device",
            signed_in,
            {"allow": "Allow", "deny": "Deny"},
            values={"user_code": user_code},
        )
    )
    return page("Allow this device?", body)


def _other_org(here: str) -> str:
    going = f"{ORGS}?{urlencode({'next': here})}"
    return f'Not in this org? <a href="{escape(going)}">Choose another one.</a>'


def _client_title(client_id: str) -> str:
    client = PUBLIC_CLIENTS.get(client_id)
    return client_id if client is None else client.title


def _decision(
    action: str,
    signed_in: SignedIn,
    buttons: dict[str, str],
    *,
    values: dict[str, str] | None = None,
    entry: str = "",
) -> str:
    return form(action, signed_in.csrf_token.reveal(), values=values, buttons=buttons, entry=entry)
