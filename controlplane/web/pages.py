"""
The addresses that the SDK prints: ``/v2/domain/{domain}/project/{project}/runs/{run}``.

A plain page says what an address names and how it stands, as HTML or, for who accepts
``application/json``, as JSON. The console will live here.
"""

from collections.abc import Mapping
from datetime import datetime
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from controlplane.authn.anonymous import Anonymous
from controlplane.core import names
from controlplane.core.actions import ActionDetail
from controlplane.core.callers import Caller
from controlplane.core.errors import (
    InvalidError,
    NotAllowedError,
    NotFoundError,
    RefusalError,
    UnauthenticatedError,
    UnavailableError,
)
from controlplane.usecases.actions import Actions
from controlplane.usecases.runs import Runs
from shared.model.ids import ActionKey, RunKey

_STATUSES: Mapping[type[Exception], int] = {
    InvalidError: 400,
    UnauthenticatedError: 401,
    NotAllowedError: 404,  # what one may not see does not exist
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
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui;margin:3rem auto;max-width:48rem;padding:0 1rem}}
dt{{color:#666}}dd{{margin:0 0 .5rem;white-space:pre-wrap;overflow-wrap:anywhere}}</style>
<h1>{title}</h1>
<dl>{facts}</dl>
</html>
"""


class Pages:
    def __init__(self, authn: Anonymous, runs: Runs, actions: Actions) -> None:
        self._authn = authn
        self._runs = runs
        self._actions = actions

    def routes(self) -> list[Route]:
        place = "/v2/domain/{domain}/project/{project}"
        return [
            Route(f"{place}/runs/{{name}}", self._run, name="run"),
            Route(f"{place}/{{kind}}/{{name:path}}", self._other, name="other"),
        ]

    async def _run(self, request: Request) -> Response:
        try:
            caller = self._authn.caller(_peer(request))
            run = RunKey(
                names.parse_project(request.path_params["project"]),
                names.parse_domain(request.path_params["domain"]),
                names.parse_run(request.path_params["name"]),
            )
            detail = await self._find(caller, run, request.query_params.get("i", ""))
        except (RefusalError, UnavailableError) as error:
            return _refuse(request, error)
        key = detail.row.key
        title = f"Run {key.run}" if detail.row.parent is None else f"Action {key}"
        return _page(request, title, _facts(detail))

    async def _find(self, caller: Caller, run: RunKey, action: str) -> ActionDetail:
        if action:
            return await self._actions.detail(caller, ActionKey(run, names.parse_action(action)))
        return (await self._runs.detail(caller, run)).root

    async def _other(self, request: Request) -> Response:
        place = request.path_params
        kind = _KINDS.get(place["kind"])
        if kind is None:
            return _page(request, "There is nothing here", {}, status=404)
        title = f"{kind} {place['project']}/{place['domain']}/{place['name']}"
        return _page(
            request, title, {"note": "This release shows runs here; see the rest with flyte get."}
        )


def _facts(detail: ActionDetail) -> dict[str, str]:
    row = detail.row
    facts = {
        "state": row.phase.name.lower().replace("_", " "),
        "task": f"{row.facts.name} {row.facts.version}".strip(),
        "attempts": str(max(row.attempts, 1)),
        "created": _instant(row.created_at),
        "started": _instant(row.started_at),
        "ended": _instant(row.ended_at),
        "by": row.created_by,
    }
    if row.failure is not None:
        facts["error"] = f"{row.failure.code}: {row.failure.message}"
    if row.abort_reason:
        facts["aborted"] = f"{row.abort_reason} ({row.aborted_by})"
    facts["look further"] = f"flyte get action {row.key.run.name}"
    return {name: words for name, words in facts.items() if words}


def _instant(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")


def _refuse(request: Request, error: Exception) -> Response:
    status = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), 400)
    return _page(request, str(error), {}, status=status)


def _page(request: Request, title: str, facts: Mapping[str, str], *, status: int = 200) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"title": title, **facts}, status_code=status, headers=_HEADERS)
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in facts.items()
    )
    page = _PAGE.format(title=escape(title), facts=rows)
    return HTMLResponse(page, status_code=status, headers=_HEADERS)


def _peer(request: Request) -> str | None:
    return None if request.client is None else f"{request.client.host}:{request.client.port}"
