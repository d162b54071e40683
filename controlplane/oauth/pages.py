"""Pages for people: allow a program to act for them, enter a device's code, errors."""

from collections.abc import Mapping
from html import escape
from http import HTTPStatus

from starlette.responses import HTMLResponse

from controlplane.core.oauth import PUBLIC_CLIENTS, PendingDevice
from controlplane.oauth.login_gate import SignedIn

# A form's answer redirects to the program on the person's own computer, and browsers hold
# redirects of forms to form-action as well.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none';"
        " form-action 'self' http://localhost:*"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui;margin:3rem auto;max-width:32rem;padding:0 1rem}}
button,input{{font:inherit;padding:.4rem .8rem;margin-right:.5rem}}</style>
<h1>{title}</h1>
{body}</html>
"""


def error_page(message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> HTMLResponse:
    """
    Show why a login cannot go on.

    The SDK is never told by a redirect with ``error``: its local server fails on one, and its
    user waits for ever.
    """
    body = (
        f"<p>{escape(message)}</p>"
        "<p>Close this page, stop the command in your terminal (Ctrl-C), and start it again.</p>"
    )
    return _page("The login cannot go on", body, status)


def message_page(title: str, message: str) -> HTMLResponse:
    return _page(title, f"<p>{escape(message)}</p>", HTTPStatus.OK)


def consent_page(signed_in: SignedIn, client_id: str, action: str) -> HTMLResponse:
    """Ask whether a program may act for the person; ``action`` is where the form is sent."""
    body = (
        f"<p>{escape(_client_title(client_id))} on this computer asks to act for"
        f" <b>{escape(signed_in.name)}</b> in the org <b>{escape(signed_in.login.org)}</b>.</p>"
        "<p>Allow it only if you have just started it.</p>"
        + _form(action, signed_in, {}, {"allow": "Allow", "deny": "Deny"})
    )
    return _page("Allow this program?", body, HTTPStatus.OK)


def device_code_page(
    signed_in: SignedIn, user_code: str = "", problem: str = "", *, status: HTTPStatus
) -> HTMLResponse:
    """Ask for the code that a device shows."""
    shown = f"<p><b>{escape(problem)}</b></p>" if problem else ""
    entry = (
        '<p><label>Code shown by the device <input name="user_code" autocomplete="off" autofocus'
        f' maxlength="20" value="{escape(user_code)}"></label></p>'
    )
    body = shown + _form("/device", signed_in, {}, {"find": "Continue"}, entry)
    return _page("Log in a device", body, status)


def device_consent_page(signed_in: SignedIn, user_code: str, device: PendingDevice) -> HTMLResponse:
    """Ask whether the device that shows this code may act for the person."""
    asked = device.asked_at.strftime("%H:%M:%S UTC")
    body = (
        f"<p>{escape(_client_title(device.client_id))}, started at {asked} from the address"
        f" {escape(device.peer)}, asks to act for <b>{escape(signed_in.name)}</b> in the org"
        f" <b>{escape(signed_in.login.org)}</b>.</p>"
        f"<p>It shows the code <b>{escape(user_code)}</b>. Allow it only if you have started it"
        " yourself: a code that you got in a message logs in its sender.</p>"
        + _form("/device", signed_in, {"user_code": user_code}, {"allow": "Allow", "deny": "Deny"})
    )
    return _page("Allow this device?", body, HTTPStatus.OK)


def _client_title(client_id: str) -> str:
    client = PUBLIC_CLIENTS.get(client_id)
    return client_id if client is None else client.title


def _form(
    action: str,
    signed_in: SignedIn,
    values: Mapping[str, str],
    decisions: Mapping[str, str],
    entry: str = "",
) -> str:
    hidden = {"csrf_token": signed_in.csrf_token.reveal(), **values}
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    buttons = "".join(
        f'<button name="decision" value="{escape(value)}">{escape(title)}</button>'
        for value, title in decisions.items()
    )
    return f'<form method="post" action="{escape(action)}">{fields}{entry}{buttons}</form>'


def _page(title: str, body: str, status: HTTPStatus) -> HTMLResponse:
    page = _PAGE.format(title=escape(title), body=body)
    return HTMLResponse(page, status_code=status, headers=HEADERS)
