"""
The look of all pages for people: one style sheet, no script, nothing from elsewhere.

Light and dark follow the system. The style is named in the content security policy by its digest,
so a page with anything else shows none of it.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from http import HTTPStatus

from starlette.responses import HTMLResponse

_STYLE = """
:root{color-scheme:light dark;
--ground:light-dark(#f5f6f8,#111418);--card:light-dark(#fff,#191d23);
--line:light-dark(#d5d9e0,#323a45);--text:light-dark(#171b21,#e6e9ee);
--quiet:light-dark(#555d69,#a2abb8);--accent:light-dark(#0b62d6,#6aa9ff);
--on-accent:light-dark(#fff,#0a1524);--bad:light-dark(#b42318,#ff8577)}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;background:var(--ground);color:var(--text);
font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:34rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;padding-top:8vh;padding-bottom:1rem}
header .mark{font-weight:600;color:var(--text);text-decoration:none;font-size:16px;margin-right:auto}
header .mark svg{width:18px;height:18px;vertical-align:-3px;margin-right:.5rem}
header form{margin:0}header .mark,header nav,button.small{white-space:nowrap}
main>section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:1.5rem}
h1{font-size:20px;line-height:1.3;margin:0 0 .75rem}
h2{font-size:14px;margin:1.5rem 0 .5rem;color:var(--quiet);font-weight:600}
p{margin:0 0 1rem}section>:last-child{margin-bottom:0}
a{color:var(--accent)}
.quiet,footer{color:var(--quiet);font-size:13px}footer{padding-top:1rem;padding-bottom:2rem}
.problem{border-left:3px solid var(--bad);padding:.25rem .75rem;color:var(--bad)}
code,.code{font-family:ui-monospace,monospace;font-size:.95em}
form{margin:0 0 1rem}label{display:block;margin-bottom:.25rem;font-weight:600}
input[type=text],input:not([type]){width:100%;font:inherit;color:inherit;background:var(--ground);
border:1px solid var(--line);border-radius:6px;padding:.5rem .65rem;margin-bottom:.75rem}
button,.button{display:inline-block;font:inherit;font-weight:600;border-radius:6px;cursor:pointer;
padding:.5rem .9rem;border:1px solid var(--line);background:transparent;color:var(--text);
text-decoration:none;text-align:center;margin:0 .5rem .25rem 0}
button.main,.button.main{background:var(--accent);border-color:var(--accent);color:var(--on-accent)}
.wide{display:block;width:100%;margin:0 0 .5rem}
button.small{padding:.15rem .6rem;font-size:13px;margin:0}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
ul.rows{list-style:none;margin:0 0 1rem;padding:0;border:1px solid var(--line);border-radius:6px}
ul.rows li{display:flex;gap:1rem;align-items:center;padding:.6rem .8rem;
border-top:1px solid var(--line)}
ul.rows li:first-child{border-top:0}ul.rows li>span:first-child{flex:1;min-width:0}ul.rows form{margin:0}
ul.rows small{display:block;color:var(--quiet);font-size:13px}
@media (forced-colors:active){button,.button{border:1px solid ButtonText}}
"""
_STYLE_SOURCE = (
    "'sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode() + "'"
)

# A form's answer redirects to the program on the person's own computer, and browsers hold
# redirects of forms to form-action as well.
HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src {_STYLE_SOURCE}; base-uri 'none'; frame-ancestors 'none';"
        " form-action 'self' http://localhost:*"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With no-referrer, browsers send the forms of a page with ``Origin: null``.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
_MARK = (
    '<svg viewBox="0 0 18 18" aria-hidden="true"><path d="M2 3l7 12 7-12" fill="none"'
    ' stroke="currentColor" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/>'
    '<circle cx="9" cy="5" r="1.8" fill="currentColor"/></svg>'
)


def page(
    title: str,
    body: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    refresh: str = "",
    header: str = "",
    footer: str = "",
) -> HTMLResponse:
    """
    Render a page; ``body``, ``header`` and ``footer`` are HTML, all else is text.

    ``refresh``: an address of ours where the browser goes at once, as from this page. The status
    403 of a redirect chain that another site began does not apply to it (``web.origins``).
    """
    going = f'<meta http-equiv="refresh" content="0;url={escape(refresh)}">' if refresh else ""
    below = f"<footer>{footer}</footer>" if footer else ""
    return HTMLResponse(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{going}<title>{escape(title)} · Volary</title><style>{_STYLE}</style></head>\n"
        f'<body><header><span class="mark">{_MARK}Volary</span>{header}</header>\n'
        f"<main><section><h1>{escape(title)}</h1>\n{body}</section></main>{below}</body></html>\n",
        status_code=status,
        headers=HEADERS,
    )


def form(
    action: str,
    csrf_token: str,
    *,
    values: Mapping[str, str] | None = None,
    buttons: Mapping[str, str],
    name: str = "decision",
    entry: str = "",
    style: str = "",
) -> str:
    """Render a form that posts; ``entry``: HTML of its fields, ``buttons``: value and text."""
    hidden = {"csrf_token": csrf_token, **(values or {})}
    fields = "".join(
        f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">'
        for key, value in hidden.items()
    )
    first = style or "main"
    shown = "".join(
        f'<button name="{escape(name)}" value="{escape(value)}"'
        f"{_class(first if number == 0 else style)}>{escape(text)}</button>"
        for number, (value, text) in enumerate(buttons.items())
    )
    return f'<form method="post" action="{escape(action)}">{fields}{entry}{shown}</form>'


def text_field(
    name: str, label: str, *, value: str = "", hint: str = "", most: int = 200, focus: bool = True
) -> str:
    """Render a labelled field for a line of text."""
    below = f'<p class="quiet">{escape(hint)}</p>' if hint else ""
    return (
        f'<label for="{escape(name)}">{escape(label)}</label>'
        f'<input type="text" id="{escape(name)}" name="{escape(name)}" value="{escape(value)}"'
        f' maxlength="{most}" autocomplete="off" autocapitalize="off" spellcheck="false"'
        f"{' autofocus' if focus else ''}>{below}"
    )


def link(href: str, text: str, *, style: str = "button wide") -> str:
    return f'<a class="{escape(style)}" href="{escape(href)}">{escape(text)}</a>'


def rows(items: Iterable[tuple[str, str, str]]) -> str:
    """Render a list: a title, a quiet line below it, and HTML at the end of each row."""
    shown = "".join(
        f"<li><span>{escape(title)}<small>{escape(detail)}</small></span>{end}</li>"
        for title, detail, end in items
    )
    return f'<ul class="rows">{shown}</ul>'


def problem(text: str) -> str:
    return f'<p class="problem" role="alert">{escape(text)}</p>' if text else ""


def _class(style: str) -> str:
    return f' class="{escape(style)}"' if style else ""
