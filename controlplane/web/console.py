"""
Serves the console: one HTML page for every address below ``/v2``, and its files.

``make console`` builds the files into ``controlplane/web/console``. They are read once, at the start:
a page and the scripts that it names always belong together. A release that was installed without
them answers with the small pages of ``pages``, which clients other than browsers get anyway.
"""

import asyncio
import hashlib
import logging
import mimetypes
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from controlplane.core import names
from controlplane.core.errors import InvalidError, RequestError, UnavailableError
from controlplane.web.pages import Pages

logger = logging.getLogger(__name__)

HOME = "/v2"
FILES = "/console/"
DIRECTORY: Traversable = files("controlplane") / "web" / "console"
"""The built files; a checkout has none before ``make console``."""

FindOrigin = Callable[[], Awaitable[str]]
"""Finds the origin of links to blobs; may raise UnavailableError."""

_INDEX = "index.html"
_ENCODINGS = {"br": ".br", "gzip": ".gz"}  # in order of preference
_IMMUTABLE = "public, max-age=31536000, immutable"  # names below assets/ carry a hash
_PROJECT_PAGES = frozenset({
    "apps", "artifacts", "compare", "home", "launch", "notifications", "runs", "secrets",
    "settings", "tasks", "tracked-runs", "triggers",
})  # fmt: skip
_TYPES = mimetypes.MimeTypes()  # not the machine's table, which may know other types


@dataclass(frozen=True, slots=True)
class ConsoleFile:
    """A built file as it is, and compressed by the content coding's name."""

    media_type: str
    etag: str
    plain: bytes
    compressed: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class BuiltConsole:
    """The built files by their path; ``release`` changes with every build."""

    index: bytes
    release: str
    files: Mapping[str, ConsoleFile]


def is_built(directory: Traversable = DIRECTORY) -> bool:
    return (directory / _INDEX).is_file()


def read_console(directory: Traversable = DIRECTORY) -> BuiltConsole | None:
    """Read the built files; None if the console is not built."""
    if not is_built(directory):
        return None
    contents = dict(_read_below(directory, ""))
    suffixes = tuple(_ENCODINGS.values())
    html = contents.pop(_INDEX)
    release = find_release(html)
    meta = f'<meta name="volary-release" content="{release}">'.encode()
    return BuiltConsole(
        index=html.replace(b"</head>", meta + b"</head>", 1),
        release=release,
        files={
            path: ConsoleFile(
                media_type=_TYPES.guess_type(path)[0] or "application/octet-stream",
                etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
                plain=content,
                compressed={
                    name: contents[path + suffix]
                    for name, suffix in _ENCODINGS.items()
                    if path + suffix in contents
                },
            )
            for path, content in contents.items()
            if not path.endswith(suffixes) and not path.startswith(".")
        },
    )


def find_release(index: bytes = b"") -> str:
    """Return the name of this build: the version, and a digest of the console's page if there is one."""
    release = version("volary")
    return f"{release}+{hashlib.sha256(index).hexdigest()[:12]}" if index else release


class Console:
    """Routes of the console; of ``plain`` pages alone if ``built`` is None."""

    def __init__(
        self,
        plain: Pages,
        built: BuiltConsole | None,
        find_blob_origin: FindOrigin,
    ) -> None:
        self._plain = plain
        self._built = built
        self._find_blob_origin = find_blob_origin
        self._policy = ""  # once the store's origin is known

    def routes(self) -> list[Route]:
        return [
            Route("/", self._root, name="root"),
            Route(HOME, self._page, name="home"),
            Route(f"{HOME}/{{rest:path}}", self._page, name="console"),
            Route(f"{FILES}{{path:path}}", self._file, name="console files"),
        ]

    async def _root(self, _request: Request) -> Response:
        return RedirectResponse(HOME, 302)

    async def _page(self, request: Request) -> Response:
        if self._built is None or not _is_browser(request):
            return await self._plain.answer(request)
        try:
            caller = await self._plain.find_caller(request)
            if isinstance(caller, Response):
                return caller
        except UnavailableError:
            pass  # the page shows the state, and connects when there is one
        except RequestError:
            return await self._plain.answer(request)  # which says why
        headers = {
            "Content-Security-Policy": await self._find_policy(),
            "Cache-Control": "no-cache",
            "Referrer-Policy": "same-origin",
            "Vary": "Accept",
            "ETag": f'"{self._built.release}"',
        }
        status = 200 if is_possible(request.path_params.get("rest", "")) else 404
        if status == 200 and request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(self._built.index, status, headers, media_type="text/html")

    async def _file(self, request: Request) -> Response:
        path = request.path_params["path"]
        found = None if self._built is None else self._built.files.get(path)
        if found is None:
            # Not kept by any cache: after an upgrade, a replica of the other release may have it.
            return PlainTextResponse(
                "the console of this release has no such file; load the page again\n",
                status_code=404,
                headers={"Cache-Control": "no-store"},
            )
        encoding = choose_encoding(request.headers.get("accept-encoding", ""), found.compressed)
        headers = {
            "Cache-Control": _IMMUTABLE if path.startswith("assets/") else "no-cache",
            "ETag": found.etag,
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        if encoding:
            headers["Content-Encoding"] = encoding
        body = found.compressed[encoding] if encoding else found.plain
        return Response(body, headers=headers, media_type=found.media_type)

    async def _find_policy(self) -> str:
        if not self._policy:
            try:
                async with asyncio.timeout(5):
                    found = await self._find_blob_origin()
            except (UnavailableError, TimeoutError) as error:
                logger.warning("origin of blob links unknown", extra={"why": str(error)})
                return make_policy("")
            self._policy = make_policy(found)
        return self._policy


def make_policy(blob_origin: str) -> str:
    """
    Return the console's Content-Security-Policy: nothing inline, nothing of third parties.

    ``blob_origin`` "": links to blobs do not work until the page is loaded again.
    """
    own = f"'self' {blob_origin}".strip()
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
        f" font-src 'self'; connect-src {own}; frame-src {own};"
        " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def is_possible(rest: str) -> bool:
    """Return whether a page can have the address ``/v2/{rest}``, by the rules for names."""
    parts = rest.strip("/").split("/") if rest.strip("/") else []
    if not parts or parts == ["me"]:
        return True
    if parts[0] == "admin":
        return len(parts) <= 3 and all(parts)
    if len(parts) < 4 or (parts[0], parts[2]) != ("domain", "project"):
        return False
    try:
        names.parse_domain(parts[1])
        names.parse_project(parts[3])
        if len(parts) > 5 and parts[4] == "runs":
            names.parse_run("/".join(parts[5:]))
    except InvalidError:
        return False
    return len(parts) == 4 or parts[4] in _PROJECT_PAGES


def choose_encoding(accepted: str, available: Iterable[str]) -> str:
    """Return the content coding for a client's Accept-Encoding header; "" for none."""
    weights: dict[str, float] = {}
    for each in accepted.lower().split(",")[:20]:
        name, *parameters = [part.strip() for part in each.split(";")]
        weights[name] = _weight_of(parameters)
    available = set(available)
    usable = [name for name in _ENCODINGS if name in available and weights.get(name, 0) > 0]
    return max(usable, key=lambda name: weights[name], default="")


def _weight_of(parameters: Sequence[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0
    return 1


def _is_browser(request: Request) -> bool:
    """Return whether a person's browser opens a page; ``?plain`` is for one without scripts."""
    return "text/html" in request.headers.get("accept", "") and (
        "plain" not in request.query_params
    )


def _read_below(directory: Traversable, above: str) -> Iterable[tuple[str, bytes]]:
    for each in directory.iterdir():
        if each.is_dir():
            yield from _read_below(each, f"{above}{each.name}/")
        else:
            yield f"{above}{each.name}", each.read_bytes()
