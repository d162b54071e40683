"""
Kubernetes API client: one method for each verb, JSON in and out.

Listed and watched objects keep only the fields that ``field_pruning`` keeps. Every call ends:
each try has a timeout, and transient errors (``errors``) are retried within the client's retry
timeout. So a call may be executed twice; names are deterministic, and callers of create treat
ExistsError as success where the object is theirs. Watches and logs are streams and are not
retried: their callers know where to resume.
"""

import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dataplane.agent.kube import client_limits
from dataplane.agent.kube.errors import (
    ConflictError,
    ExpiredError,
    KubeError,
    NotFoundError,
    parse_status,
)
from dataplane.agent.kube.field_pruning import prune_fields
from dataplane.agent.kube.objects import (
    ACCESS_REVIEW,
    POD,
    TOKEN_REVIEW,
    Kind,
    Name,
    Object,
    name_of,
)
from dataplane.agent.kube.requests import JSON, MERGE, METADATA_LIST, Request, selectors
from dataplane.agent.kube.retries import call_with_retries
from shared.kit.timestamps import render_rfc3339

if TYPE_CHECKING:
    from dataplane.agent.kube.transport import Transport


@dataclass(frozen=True, slots=True)
class Listing:
    """A consistent list; a watch can start from its ``resource_version``."""

    items: Sequence[Object]
    resource_version: str


class ChangeKind(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"  # no change; only the resource version is new


@dataclass(frozen=True, slots=True)
class Change:
    kind: ChangeKind
    object: Object

    @property
    def resource_version(self) -> str:
        return str(self.object["metadata"]["resourceVersion"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """Result of a TokenReview."""

    authenticated: bool
    user: str = ""  # "system:serviceaccount:<namespace>:<name>"
    extra: Mapping[str, Sequence[str]]
    error: str = ""  # why it is not authenticated

    @property
    def pod(self) -> str:
        """Name of the pod that the token is bound to; "" if it is not bound to a pod."""
        return next(iter(self.extra.get("authentication.kubernetes.io/pod-name", ())), "")

    @property
    def pod_uid(self) -> str:
        return next(iter(self.extra.get("authentication.kubernetes.io/pod-uid", ())), "")


class Kube:
    """Kubernetes API client; create it with :meth:`open`."""

    def __init__(self, transport: "Transport", *, retry_timeout: timedelta | None) -> None:
        self._transport = transport
        self._retry_timeout = retry_timeout

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        kubeconfig: Path | None = None,
        *,
        retry_timeout: timedelta | None = client_limits.RETRY_TIMEOUT,
    ) -> AsyncIterator[Self]:
        """Connect with the kubeconfig or, without one, as the pod's service account."""
        # aiohttp takes a second to import, which agents without a cluster need not pay.
        from dataplane.agent.kube.transport import Transport  # noqa: PLC0415

        async with Transport.open(kubeconfig) as transport:
            yield cls(transport, retry_timeout=retry_timeout)

    @property
    def requests(self) -> Counter[tuple[str, str, int]]:
        """Number of requests by verb, resource and HTTP code (0: no answer); each try counts."""
        return self._transport.requests

    @property
    def seconds(self) -> Mapping[tuple[str, str], tuple[int, float]]:
        """Number of answers by verb and resource, and how long they took until their heads came."""
        return self._transport.seconds

    def with_retry_timeout(self, retry_timeout: timedelta | None) -> "Kube":
        """Return the same client with another retry timeout; None: retry without a limit."""
        return Kube(self._transport, retry_timeout=retry_timeout)

    async def get(self, kind: Kind, name: Name) -> Object:
        return await self._request(Request(verb="get", method="GET", kind=kind, name=name))

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        only_metadata: bool = False,
    ) -> Listing:
        """List all, in pages of one snapshot; ``labels`` and ``fields`` are selectors."""
        accept = METADATA_LIST if only_metadata else JSON
        query = selectors(labels, fields)
        paged = {**query, "limit": str(client_limits.PAGE_ITEMS)}
        try:
            return await self._list(kind, namespace, paged, accept)
        except ExpiredError:
            # The snapshot expired (410) between two pages. A list without pages needs none.
            return await self._list(kind, namespace, query, accept)

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Create the object; ExistsError, also if an earlier try without an answer created it."""
        place = Name(name_of(obj).namespace, "")
        return await self._request(
            Request(verb="create", method="POST", kind=kind, name=place, body=obj)
        )

    async def patch(
        self, kind: Kind, name: Name, body: Mapping[str, Any], *, status: bool = False
    ) -> Object:
        """Merge ``body`` into the object (RFC 7386: null removes, lists are replaced)."""
        request = Request(
            verb="patch",
            method="PATCH",
            kind=kind,
            name=name,
            part="status" if status else "",
            body=body,
            content_type=MERGE,
        )
        return await self._request(request)

    async def replace(self, kind: Kind, obj: Object, *, status: bool = False) -> Object:
        """Replace the object; ConflictError if it was changed since it was read."""
        part = "status" if status else ""
        return await self._request(
            Request(verb="update", method="PUT", kind=kind, name=name_of(obj), part=part, body=obj)
        )

    async def delete(
        self,
        kind: Kind,
        name: Name,
        *,
        uid: str = "",
        grace: int | None = None,
        propagation: str = "Background",
    ) -> bool:
        """
        Delete the object; return whether it existed. ``grace`` is in seconds, None: its own.

        With ``uid``, another object of the same name is not deleted, and False is returned.
        A pod is gone only once its containers have ended: watch for that.
        """
        options: dict[str, Any] = {"propagationPolicy": propagation}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._request(
                Request(verb="delete", method="DELETE", kind=kind, name=name, body=options)
            )
        except NotFoundError:
            return False
        except ConflictError:
            if not uid:
                raise
            return False
        return True

    async def watch(
        self,
        kind: Kind,
        *,
        since: str,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        lasting: timedelta = client_limits.WATCH_LASTS,
    ) -> AsyncGenerator[Change, None]:
        """
        Yield each change after ``since``, for about ``lasting``, then end.

        Resume from the last change's resource version, bookmarks included. ExpiredError (410)
        when ``since`` is too old; UnreachableError when the connection is dead, which is noticed
        because the server would have ended the watch by then.
        """
        seconds = max(1, round(lasting.total_seconds()))
        query = {
            **selectors(labels, fields),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(seconds),
        }
        place = Name(namespace, "")
        request = Request(verb="watch", method="GET", kind=kind, name=place, query=query)
        silence = timedelta(seconds=seconds) + client_limits.WATCH_MARGIN
        async with self._transport.stream(request, silence=silence) as chunks:
            async for line in _lines(chunks):
                yield _parse_change(kind, line)

    async def log(
        self,
        pod: Name,
        container: str,
        *,
        follow: bool = False,
        since_time: datetime | None = None,
        tail_lines: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
        limit_bytes: int | None = None,
        silence: timedelta | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """
        Yield the log's bytes as they arrive, not line by line; ``follow``: to the container's end.

        ``silence``: UnreachableError when nothing arrives for that long. The server truncates
        ``since_time`` to whole seconds.
        """
        query = {"container": container, "follow": str(follow).lower()}
        query |= {"timestamps": str(timestamps).lower(), "previous": str(previous).lower()}
        if since_time is not None:
            query["sinceTime"] = render_rfc3339(since_time)
        if tail_lines is not None:
            query["tailLines"] = str(tail_lines)
        if limit_bytes is not None:
            query["limitBytes"] = str(limit_bytes)
        if not follow and silence is None:
            silence = client_limits.CALL_TIMEOUT
        request = Request(verb="get", method="GET", kind=POD, name=pod, part="log", query=query)
        async with self._transport.stream(request, silence=silence) as chunks:
            async for chunk in chunks:
                yield chunk

    async def review_token(self, token: str, audience: str) -> Reviewed:
        """Create a TokenReview: whose token it is, and whether it is valid for ``audience``."""
        spec = {"token": token, "audiences": [audience]}
        review = await self._review(TOKEN_REVIEW, spec)
        status = review.get("status") or {}
        user = status.get("user") or {}
        meant = audience in (status.get("audiences") or ())
        return Reviewed(
            authenticated=bool(status.get("authenticated")) and meant,
            user=str(user.get("username", "")),
            extra=user.get("extra") or {},
            error=str(status.get("error", "")),
        )

    async def may(
        self, verb: str, kind: Kind, namespace: str = "", *, part: str = "", name: str = ""
    ) -> bool:
        """Return whether the agent may (SelfSubjectAccessReview); namespace "" means in all."""
        attributes = {
            "verb": verb,
            "group": kind.group,
            "version": kind.version,
            "resource": kind.plural,
            "subresource": part,
            "namespace": namespace,
            "name": name,
        }
        review = await self._review(ACCESS_REVIEW, {"resourceAttributes": attributes})
        return bool((review.get("status") or {}).get("allowed"))

    async def get_dated(self, path: str) -> tuple[Mapping[str, Any], datetime | None]:
        """Get a path that is no object, such as ``/version``; also return the server's Date."""
        nothing = Kind("", "", "", "")
        request = Request(verb="get", method="GET", kind=nothing, name=Name("", ""), at=path)
        return await call_with_retries(
            lambda: self._transport.request_dated(request, at_most=client_limits.CALL_TIMEOUT),
            retry_timeout=self._retry_timeout,
        )

    async def _list(
        self, kind: Kind, namespace: str, query: Mapping[str, str], accept: str
    ) -> Listing:
        items: list[Object] = []
        page: dict[str, Any] = {}
        while not page or page["metadata"].get("continue"):
            page_query = dict(query)
            if page:
                page_query["continue"] = page["metadata"]["continue"]
            place = Name(namespace, "")
            request = Request(
                verb="list", method="GET", kind=kind, name=place, query=page_query, accept=accept
            )
            page = await self._request(request, at_most=client_limits.LIST_TIMEOUT)
            items += (prune_fields(kind, item) for item in page["items"] or ())
        return Listing(items, str(page["metadata"]["resourceVersion"]))

    async def _review(self, kind: Kind, spec: Mapping[str, Any]) -> Object:
        """Create a review, which the API server answers and does not store."""
        body = {"apiVersion": kind.api_version, "kind": kind.name, "spec": spec}
        return await self._request(
            Request(verb="create", method="POST", kind=kind, name=Name("", ""), body=body)
        )

    async def _request(
        self, request: Request, *, at_most: timedelta = client_limits.CALL_TIMEOUT
    ) -> dict[str, Any]:
        return await call_with_retries(
            lambda: self._transport.request_json(request, at_most=at_most),
            retry_timeout=self._retry_timeout,
        )


def _parse_change(kind: Kind, line: bytes) -> Change:
    try:
        event = json.loads(line)
        if event["type"] != "ERROR":
            return Change(ChangeKind(event["type"]), prune_fields(kind, event["object"]))
    except (KeyError, TypeError, ValueError) as error:
        raise KubeError(200, "BadAnswer", "a watch event is malformed") from error
    raise parse_status(event["object"])


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for line in whole:
            rest += line
            if rest.strip():
                yield bytes(rest)
            rest.clear()
        rest += last
        if len(rest) > client_limits.CHANGE_BYTES:
            raise KubeError(
                200, "TooLarge", f"a watch event exceeds {client_limits.CHANGE_BYTES} bytes"
            )
