"""
Which connector serves which task type.

A type named in the settings has the endpoint named there. Every other belongs to the first
endpoint that lists it; the lists are asked for again and again, so that a connector may be
added, or be late, without a restart of the agent. What was listed once stays known while
its server is away: its jobs run on.
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
    endpoints: Sequence[Endpoint] = ()  # asked what they serve; the first that does has it
    by_type: Mapping[str, Endpoint] = field(default_factory=dict)
    refresh_interval: timedelta = timedelta(seconds=30)

    def __bool__(self) -> bool:
        return bool(self.endpoints or self.by_type)


def parse_endpoint(text: str) -> Endpoint:
    """
    Read ``host:port`` or ``grpc://host:port``; for TLS ``grpcs://host:port``.

    The latter may end in ``?ca=/path/of/a/file``: whom to trust instead of the system's CAs.
    """
    match = re.fullmatch(r"(?:grpc://)?([^\s/?]+:\d{1,5})", text)
    if match is not None:
        return Endpoint(address=match[1])
    match = re.fullmatch(r"grpcs://([^\s/?]+:\d{1,5})(?:\?ca=(/\S+))?", text)
    if match is None:
        raise ConnectorSettingError(
            f"{text!r} is no address of a connector; write host:port, or grpcs://host:port for TLS"
        )
    return Endpoint(address=match[1], secure=True, ca_file=Path(match[2]) if match[2] else None)


class Endpoints:
    """Clients of all endpoints, and what each serves as far as it is known."""

    def __init__(self, settings: ConnectorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        desired = dict.fromkeys([*settings.by_type.values(), *settings.endpoints])
        self._clients = {endpoint: ConnectorClient(endpoint) for endpoint in desired}
        self._listed: dict[Endpoint, frozenset[str]] = {}
        self._complained: set[Endpoint] = set()
        self._lasting: asyncio.TaskGroup | None = None

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
        Whether the type is served, as far as is known, or will be once a connector answers.

        An agent that was started anew must not take an attempt for one that nobody can run
        because its connector happens to be away.
        """
        return self.find(task_type) is not None or not self.all_answered

    @property
    def all_answered(self) -> bool:
        """Whether every connector that is asked has answered since the agent began."""
        return all(endpoint in self._listed for endpoint in self._settings.endpoints)

    async def run(self) -> None:
        """Ask what is served until cancelled; then finish what was begun, and close."""
        try:
            async with asyncio.TaskGroup() as self._lasting:
                try:
                    await self._refresh_until_answered()
                except asyncio.CancelledError:
                    pass  # leaving the group waits for it; each call has its timeout
            raise asyncio.CancelledError
        finally:
            self._lasting = None
            await self.close()

    async def finish(self, work: Coroutine[Any, Any, _T]) -> _T:
        """
        Carry out what must not be left half done, although its caller may be cancelled.

        Only while :meth:`run` runs; else it is cancelled with its caller.
        """
        if self._lasting is None:
            return await work
        outcome: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        async def carry_out() -> None:
            try:
                value = await work
            except Exception as error:  # noqa: BLE001 - it is the caller's
                if not outcome.done():
                    outcome.set_exception(error)
            else:
                if not outcome.done():
                    outcome.set_result(value)

        self._lasting.create_task(carry_out())
        return await outcome

    async def refresh(self) -> None:
        """Ask every endpoint once what it serves; one that does not answer is asked again."""
        async with asyncio.TaskGroup() as tasks:
            for endpoint in self._settings.endpoints:
                tasks.create_task(self._call(endpoint))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _refresh_until_answered(self) -> None:
        while True:
            await self.refresh()
            await self._clock.sleep(self._settings.refresh_interval)

    async def _call(self, endpoint: Endpoint) -> None:
        client = self._clients[endpoint]
        try:
            await client.reach()
            categories = await client.list_categories()
        except (ConnectorError, ConnectorSettingError) as error:
            if endpoint not in self._complained:  # once, and not every half minute
                logger.warning(
                    "a connector does not say what it serves",
                    extra={"endpoint": str(endpoint), "error": str(error)},
                )
                self._complained.add(endpoint)
            return
        self._complained.discard(endpoint)
        served = frozenset(category.name for category in categories)
        if served != self._listed.get(endpoint):
            logger.info(
                "a connector serves task types",
                extra={"endpoint": str(endpoint), "task_types": sorted(served)},
            )
            self._listed[endpoint] = served
