"""
Finds the connector that serves a task type.

A type named in the settings has the endpoint named there. Every other type belongs to the
first endpoint that lists it; the lists are refreshed periodically, so that a connector may
be added, or start late, without a restart of the agent. A list is kept while its server is
unavailable, because the server's jobs run on.
"""

import asyncio
import logging
import re
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from dataplane.agent.runtimes.connectors.client import (
    ConnectorClient,
    ConnectorError,
    ConnectorSettingError,
    Endpoint,
)
from shared.kit.clock import Clock

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSettings:
    """Endpoints of connectors, and how often their lists of task types are refreshed."""

    endpoints: Sequence[Endpoint] = ()  # a type belongs to the first that lists it
    by_type: Mapping[str, Endpoint] = field(default_factory=dict)
    refresh_interval: timedelta = timedelta(seconds=30)

    def __bool__(self) -> bool:
        return bool(self.endpoints or self.by_type)


def parse_endpoint(text: str) -> Endpoint:
    """
    Parse ``host:port`` or ``grpc://host:port``; for TLS ``grpcs://host:port``.

    The latter may end in ``?ca=/path/of/a/file``: CAs to trust instead of the system's.
    ConnectorSettingError for anything else.
    """
    match = re.fullmatch(r"(?:grpc://)?([^\s/?]+:\d{1,5})", text)
    if match is not None:
        return Endpoint(address=match[1])
    match = re.fullmatch(r"grpcs://([^\s/?]+:\d{1,5})(?:\?ca=(/\S+))?", text)
    if match is None:
        raise ConnectorSettingError(
            f"{text!r} is not a connector address; write host:port, or grpcs://host:port for TLS"
        )
    return Endpoint(address=match[1], secure=True, ca_file=Path(match[2]) if match[2] else None)


class Endpoints:
    """Clients of all endpoints, and the task types that each has listed."""

    def __init__(self, settings: ConnectorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        endpoints = dict.fromkeys([*settings.by_type.values(), *settings.endpoints])
        self._clients = {endpoint: ConnectorClient(endpoint) for endpoint in endpoints}
        self._listed: dict[Endpoint, frozenset[str]] = {}
        self._unavailable: set[Endpoint] = set()  # already logged
        self._background: asyncio.TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Endpoints {', '.join(str(endpoint) for endpoint in self._clients)}>"

    @property
    def task_types(self) -> frozenset[str]:
        return frozenset(self._settings.by_type).union(*self._listed.values())

    def find(self, task_type: str) -> ConnectorClient | None:
        if task_type in self._settings.by_type:
            return self._clients[self._settings.by_type[task_type]]
        for endpoint in self._settings.endpoints:
            if task_type in self._listed.get(endpoint, ()):
                return self._clients[endpoint]
        return None

    def may_serve(self, task_type: str) -> bool:
        """
        Whether the type is served, or may be by a connector that has not answered yet.

        A restarted agent must not fail an attempt as unsupported because its connector
        happens to be unavailable.
        """
        return self.find(task_type) is not None or not self.all_answered

    @property
    def all_answered(self) -> bool:
        """Whether every endpoint has listed its task types since the agent started."""
        return all(endpoint in self._listed for endpoint in self._settings.endpoints)

    async def run(self) -> None:
        """Refresh the lists until cancelled; then wait for :meth:`finish` calls, and close."""
        try:
            async with asyncio.TaskGroup() as self._background:
                try:
                    await self._refresh_periodically()
                except asyncio.CancelledError:
                    pass  # leaving the group waits for its tasks; each call has a timeout
            raise asyncio.CancelledError
        finally:
            self._background = None
            await self.close()

    async def finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """
        Run ``work`` to completion even if the caller is cancelled.

        Only while :meth:`run` runs; otherwise it is cancelled with its caller.
        """
        if self._background is None:
            return await work
        outcome: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        async def carry_out() -> None:
            try:
                value = await work
            except Exception as error:  # noqa: BLE001 - raised to the caller
                if not outcome.done():
                    outcome.set_exception(error)
            else:
                if not outcome.done():
                    outcome.set_result(value)

        self._background.create_task(carry_out())
        return await outcome

    async def refresh(self) -> None:
        """List the task types of every endpoint once; unavailable ones keep their last list."""
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self._settings.endpoints:
                tasks.create_task(self._refresh_endpoint(endpoint))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _refresh_periodically(self) -> None:
        while True:
            await self.refresh()
            await self._clock.sleep(self._settings.refresh_interval)

    async def _refresh_endpoint(self, endpoint: Endpoint) -> None:
        client = self._clients[endpoint]
        try:
            await client.wait_until_reachable()
            categories = await client.list_categories()
        except (ConnectorError, ConnectorSettingError) as error:
            if endpoint not in self._unavailable:  # log once, not at every refresh
                logger.warning(
                    "connector did not list its task types",
                    extra={"endpoint": str(endpoint), "error": str(error)},
                )
                self._unavailable.add(endpoint)
            return
        self._unavailable.discard(endpoint)
        task_types = frozenset(category.name for category in categories)
        if task_types != self._listed.get(endpoint):
            logger.info(
                "connector's task types changed",
                extra={"endpoint": str(endpoint), "task_types": sorted(task_types)},
            )
            self._listed[endpoint] = task_types
