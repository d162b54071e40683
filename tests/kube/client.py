"""
Kubernetes API client for tests: paths in, JSON out, errors as ``KubeError``.

Not the agent's client, on purpose: what the agent did is checked by other means than its own.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Self

import httpx

_MERGE = {"Content-Type": "application/merge-patch+json"}
_ANSWER_WITHIN_SECONDS = 30.0
_FACT_WITHIN_SECONDS = 60.0

Json = dict[str, Any]


class KubeError(Exception):
    """The API server refused: ``code`` is HTTP's, ``reason`` is Kubernetes'."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason


class KubeClient:
    """One user's way to one API server; an async context manager."""

    def __init__(
        self,
        address: str,
        trust: ssl.SSLContext,
        *,
        user: str | None = None,
        groups: Sequence[str] = (),
        token: str | None = None,
    ) -> None:
        headers = [("Impersonate-Group", group) for group in groups]
        if user is not None:
            headers.append(("Impersonate-User", user))
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}"))
        self._http = httpx.AsyncClient(
            base_url=address,
            verify=trust,
            headers=headers,
            timeout=_ANSWER_WITHIN_SECONDS,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: str) -> Json:
        return await self._ask("GET", path, params=query)

    async def list(self, path: str, **query: str) -> list[Json]:
        return list((await self.get(path, **query))["items"])

    async def create(self, path: str, body: Mapping[str, Any]) -> Json:
        return await self._ask("POST", path, json=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        return await self._ask("PUT", path, json=body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        """Merge ``body`` into what is there."""
        return await self._ask("PATCH", path, json=body, headers=_MERGE)

    async def delete(self, path: str, **query: str) -> Json:
        return await self._ask("DELETE", path, params=query)

    async def log(self, pod: str, **query: str) -> str:
        """Return a pod's log so far; ``pod`` is its path."""
        answer = await self._http.get(f"{pod}/log", params=query)
        _refuse(answer)
        return answer.text

    async def watch(self, path: str, *, since: str, **query: str) -> AsyncGenerator[Json]:
        """Yield changes; KubeError when the resource version ``since`` has expired."""
        asked = {"watch": "true", "resourceVersion": since, **query}
        timeouts = httpx.Timeout(_ANSWER_WITHIN_SECONDS, read=None)  # the caller's
        async with self._http.stream("GET", path, params=asked, timeout=timeouts) as answer:
            if not answer.is_success:
                await answer.aread()
                _refuse(answer)
            async for line in answer.aiter_lines():
                change = json.loads(line)
                if change["type"] == "ERROR":
                    raise _error(change["object"])
                yield change

    async def wait_for(
        self, path: str, fact: Callable[[Json], bool], *, within: float = _FACT_WITHIN_SECONDS
    ) -> Json:
        """Watch one object until ``fact`` holds of it; AssertionError with its last state."""
        last = await self.get(path)
        collection, _, name = path.rpartition("/")
        since = last["metadata"]["resourceVersion"]
        try:
            async with (
                asyncio.timeout(within),
                aclosing(
                    self.watch(collection, since=since, fieldSelector=f"metadata.name={name}")
                ) as changes,
            ):
                while not fact(last):
                    last = (await anext(changes))["object"]
        except TimeoutError:
            raise AssertionError(
                f"{path} did not become so within {within:g} s: {json.dumps(last)}"
            ) from None
        return last

    async def wait_until_gone(self, path: str, *, within: float = _FACT_WITHIN_SECONDS) -> None:
        async def is_gone() -> bool:
            return not await self.exists(path)

        await wait_until(is_gone, f"{path} is gone", within=within)

    @asynccontextmanager
    async def namespace(self) -> AsyncIterator[str]:
        """A namespace of a test's own, pods can be made in it at once; swept up afterwards."""
        labels = {"volary.dev/managed": "true"}  # tasks may run in it
        metadata = {"generateName": "test-", "labels": labels}
        made = await self.create("/api/v1/namespaces", {"metadata": metadata})
        name = str(made["metadata"]["name"])
        path = f"/api/v1/namespaces/{name}"
        try:
            await wait_until(
                lambda: self.exists(f"{path}/serviceaccounts/default"), f"{name} has an account"
            )
            yield name
        finally:
            await self.delete(path)

    async def exists(self, path: str) -> bool:
        try:
            await self.get(path)
        except KubeError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def _ask(self, method: str, path: str, **rest: Any) -> Json:
        answer = await self._http.request(method, path, **rest)
        _refuse(answer)
        return dict(answer.json())


async def wait_until(
    fact: Callable[[], Awaitable[bool]], what: str, *, within: float = _FACT_WITHIN_SECONDS
) -> None:
    """Poll until the fact holds; AssertionError after a timeout."""
    try:
        async with asyncio.timeout(within):
            while not await fact():  # noqa: ASYNC110 -- the server tells nobody
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within:g} s") from None


def _refuse(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        status = answer.json()
    except ValueError:
        status = {"code": answer.status_code, "message": answer.text}
    raise _error(status)


def _error(status: Mapping[str, Any]) -> KubeError:
    return KubeError(
        int(status.get("code", 0)), str(status.get("reason", "")), str(status.get("message", ""))
    )
