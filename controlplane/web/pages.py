"""
Serves the run URLs that the SDK prints: ``/v2/domain/{domain}/project/{project}/runs/{run}``.

A plain page shows the state of a run and the reason, as HTML or, for clients that accept
``application/json``, as JSON. Browsers get the console at these addresses, if it is built.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Protocol

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from controlplane.authn.authenticator import Authenticator
from controlplane.core import names
from controlplane.core.actions import ActionDetail
from controlplane.core.callers import Caller
from controlplane.core.errors import (
    InvalidError,
    NotAllowedError,
    NotFoundError,
    RequestError,
    UnauthenticatedError,
    UnavailableError,
)
from controlplane.core.explanations import Explained
from controlplane.usecases.actions import Actions
from controlplane.usecases.explanations import Explanations, PendingAction
from controlplane.usecases.runs import Runs
from shared.model.ids import ActionKey, RunKey

_STATUSES: Mapping[type[Exception], int] = {
    InvalidError: 400,
    UnauthenticatedError: 401,
    NotAllowedError: 404,  # hides whether it exists
    NotFoundError: 404,
    UnavailableError: 503,
}
_KINDS = {
    "apps": "App",
    "artifacts": "Artifact",
    "tasks": "Task",
    "tracked-runs": "Tracked run",
    "triggers": "Trigger",
}
_NOTE = "This release shows runs here; see the rest with flyte get."
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui;margin:3rem auto;max-width:48rem;padding:0 1rem}}
dt{{color:#666}}dd{{margin:0 0 .5rem;white-space:pre-wrap;overflow-wrap:anywhere}}
table{{border-collapse:collapse;font-size:.9em}}caption{{text-align:left;font-weight:bold}}
td,th{{padding:.1rem .6rem .1rem 0;text-align:left;vertical-align:top}}</style>
<h1>{title}</h1>
<dl>{info}</dl>
{tables}</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """Content of a page: fields by name, and tables of rows with the same columns, by title."""

    title: str
    info: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)


class PageGate(Protocol):
    async def find_caller(self, request: Request, return_to: str) -> Caller | Response:
        """
        Return who asks, or a response that leads to the login page and back.

        UnauthenticatedError, UnavailableError.
        """


class HeaderGate:
    """Gate of callers whom an authenticator finds by their headers."""

    def __init__(self, authn: Authenticator) -> None:
        self._authn = authn

    async def find_caller(self, request: Request, return_to: str) -> Caller | Response:
        del return_to
        return await self._authn.authenticate(request.headers, _peer(request))


class Pages:
    def __init__(
        self, gate: PageGate, runs: Runs, actions: Actions, explanations: Explanations
    ) -> None:
        self._gate = gate
        self._runs = runs
        self._actions = actions
        self._explanations = explanations

    async def answer(self, request: Request) -> Response:
        """Answer a request for an address below ``/v2``, whatever it names."""
        match request.scope["path"].removeprefix("/v2").strip("/").split("/"):
            case ["domain", domain, "project", project, "runs", name]:
                return await self._run(request, domain, project, name)
            case ["domain", domain, "project", project, kind, *name] if kind in _KINDS and name:
                title = f"{_KINDS[kind]} {project}/{domain}/{'/'.join(name)}"
                return _page(request, _Content(title=title, info={"note": _NOTE}))
            case [""]:
                return _page(request, _Content(title="Volary", info={"note": _NOTE}))
            case _:
                return _page(request, _Content(title="There is nothing here"), status=404)

    async def find_caller(self, request: Request) -> Caller | Response:
        """
        Return who asks, or a response that leads to the login page and back here.

        UnauthenticatedError, UnavailableError.
        """
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return await self._gate.find_caller(request, here)

    async def _run(self, request: Request, domain: str, project: str, name: str) -> Response:
        try:
            caller = await self.find_caller(request)
            if isinstance(caller, Response):
                return caller
            run = RunKey(
                names.parse_project(project), names.parse_domain(domain), names.parse_run(name)
            )
            action = request.query_params.get("i", "")
            if action:
                content = await self._of_action(caller, ActionKey(run, names.parse_action(action)))
            else:
                content = await self._of_run(caller, run)
        except (RequestError, UnavailableError) as error:
            return _error_response(request, error)
        return _page(request, content)

    async def _of_run(self, caller: Caller, run: RunKey) -> _Content:
        detail = (await self._runs.detail(caller, run)).root
        explained = await self._explanations.run(caller, run)
        return _Content(
            title=f"Run {run}",
            info=_fields(detail, explained.root),
            tables={
                "pending": [_pending(each) for each in explained.pending],
                "timeline": _timeline(explained.root),
            },
        )

    async def _of_action(self, caller: Caller, action: ActionKey) -> _Content:
        detail = await self._actions.detail(caller, action)
        explained = await self._explanations.action(caller, action)
        title = f"Action {action}" if detail.row.parent is not None else f"Run {action.run}"
        info = _fields(detail, explained)
        return _Content(title=title, info=info, tables={"timeline": _timeline(explained)})


def _fields(detail: ActionDetail, explained: Explained) -> dict[str, str]:
    row = detail.row
    info = {
        "state": row.phase.name.lower().replace("_", " "),
        "reason": explained.now.reason.value,
        "why": explained.now.message,
        "task": f"{row.info.name} {row.info.version}".strip(),
        "attempts": str(max(row.attempts, 1)),
        "created": _render_time(row.created_at),
        "started": _render_time(row.started_at),
        "ended": _render_time(row.ended_at),
        "by": row.created_by,
    }
    if row.failure is not None:
        info["error"] = f"{row.failure.code}: {row.failure.message}"
    if row.abort_reason:
        info["aborted"] = f"{row.abort_reason} ({row.aborted_by})"
    info["look further"] = f"flyte get action {row.key.run.name}"
    return {name: words for name, words in info.items() if words}


def _render_time(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")


def _pending(pending: PendingAction) -> dict[str, str]:
    return {
        "action": pending.action.name,
        "attempt": str(pending.attempt),
        "phase": pending.phase.replace("_", " "),
        "cluster": pending.cluster or "",
        "reason": pending.why.reason.value,
        "why": pending.why.message,
    }


def _timeline(explained: Explained) -> Sequence[Mapping[str, str]]:
    return [
        {
            "from": each.started_at.isoformat(timespec="milliseconds"),
            "until": each.ended_at.isoformat(timespec="milliseconds"),
            "reason": each.reason.value,
            "why": each.message,
        }
        for each in explained.timeline
    ]


def _error_response(request: Request, error: Exception) -> Response:
    status = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), 400)
    return _page(request, _Content(title=str(error)), status=status)


def _page(request: Request, content: _Content, *, status: int = 200) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        whole = {"title": content.title, **content.info, **content.tables}
        return JSONResponse(whole, status_code=status, headers=_HEADERS)
    page = _PAGE.format(
        title=escape(content.title),
        info="".join(
            f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>"
            for name, words in content.info.items()
        ),
        tables="".join(_table(title, rows) for title, rows in content.tables.items() if rows),
    )
    return HTMLResponse(page, status_code=status, headers=_HEADERS)


def _table(title: str, rows: Sequence[Mapping[str, str]]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    cells = "".join(
        f"<tr>{''.join(f'<td>{escape(words)}</td>' for words in row.values())}</tr>" for row in rows
    )
    return f"<table><caption>{escape(title)}</caption><tr>{heads}</tr>{cells}</table>\n"


def _peer(request: Request) -> str | None:
    return None if request.client is None else f"{request.client.host}:{request.client.port}"
