"""
Writes one TaskAction: creates it, patches its reports in order, deletes it.

Reports that arrive during a write go into the next one. Every write but the first names the
resource version that it changes, so that of two agents that write the same ledger the second
gets a conflict, and stops.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dataplane.agent.core.active_attempts import ActiveAttempt
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ConflictError, ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.namespaces import Namespaces, NoNamespaceError
from dataplane.agent.kube.objects import TASK_ACTION, Name, Object
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.ledger.taskactions import codec, journal_limits
from shared.kit.clock import Clock
from shared.model.phases import TERMINAL
from shared.model.reports import Report

logger = logging.getLogger(__name__)

_TRIES = 5  # to create one while its name is taken by a leftover of another lease


@dataclass(slots=True, eq=False)
class Page:
    """State of one attempt's TaskAction; ``uid`` is "" while it does not exist."""

    active: ActiveAttempt
    name: Name
    uid: str = ""
    resource_version: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    reports: dict[int, Report] = field(default_factory=dict)  # by version, all of them
    written: int = 0  # the last report version that is in the object
    is_refused: bool = False  # the API server rejects it
    is_leaving: bool = False  # to be deleted
    waiting: list[tuple[int, Callable[[], None], "asyncio.Future[None]"]] = field(
        default_factory=list
    )

    @property
    def is_over(self) -> bool:
        return bool(self.reports) and self.reports[max(self.reports)].phase in TERMINAL

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to write."""
        if self.is_leaving:
            return not self.uid
        return self.is_refused or (bool(self.uid) and self.written >= len(self.reports))

    def wait_for(self, version: int, then: Callable[[], None]) -> "asyncio.Future[None]":
        """Return a future, done once that report version is written (0: the object exists)."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((version, then, future))
        self.answer()
        return future

    def answer(self) -> None:
        """Complete the futures of written versions, in order; all if no write will follow."""
        lost = self.is_refused or self.is_leaving
        still_waiting = []
        for version, then, future in self.waiting:
            is_written = bool(self.uid) and version <= self.written
            if not lost and not is_written:
                still_waiting.append((version, then, future))
                continue
            if is_written:
                then()
            if not future.done():
                future.set_result(None)
        self.waiting = still_waiting

    def took(self, obj: Object, written: int) -> None:
        """Take over the object's current metadata and its latest report version."""
        self.name = Name(obj["metadata"]["namespace"], obj["metadata"]["name"])
        self.uid = obj["metadata"]["uid"]
        self.resource_version = obj["metadata"]["resourceVersion"]
        self.annotations = obj["metadata"].get("annotations") or {}
        self.written = written

    def lost(self) -> None:
        """Note that the object does not exist."""
        self.uid = ""
        self.written = 0


class Writer:
    def __init__(
        self,
        kube: Kube,
        namespaces: Namespaces,
        *,
        agent_namespace: str,
        labels: Callable[[ActiveAttempt], Mapping[str, str]],
        clock: Clock,
    ) -> None:
        """``kube`` must retry without a timeout."""
        self._kube = kube
        self._namespaces = namespaces
        self._agent_namespace = agent_namespace
        self._labels = labels
        self._clock = clock

    async def write(self, page: Page) -> None:
        """Write until everything is written; one call at a time per page."""
        while not page.is_done:
            if page.is_leaving:
                await self._insist(lambda: self._delete(page))
            elif not page.uid:
                await self._insist(lambda: self._create(page))
            else:
                await self._insist(lambda: self._patch_status(page))
            page.answer()

    async def _create(self, page: Page) -> None:
        """Create the TaskAction in the attempt's namespace, else in the agent's namespace."""
        try:
            await self._create_at(page, page.name)
        except _WriteRefusedError as refused:
            logger.warning(
                "TaskAction created in the agent's namespace, its own rejects it",
                extra={"task_action": str(page.name), "detail": str(refused)},
            )
            try:
                await self._create_at(page, Name(self._agent_namespace, page.name.name))
            except _WriteRefusedError as again:
                logger.error(  # noqa: TRY400 - a refusal of the API; the traceback adds nothing
                    "assignment not accepted, the API server rejects its TaskAction",
                    extra={"task_action": str(page.name), "detail": str(again)},
                )
                page.is_refused = True

    async def _create_at(self, page: Page, name: Name) -> None:
        body = codec.render_entry(page.active, name, self._labels(page.active))
        for _ in range(_TRIES):
            await self._ensure_namespace(page, name)
            try:
                made = await self._kube.create(TASK_ACTION, body)
            except ExistsError:
                if await self._is_own(page, name):
                    return
            except NotFoundError as error:
                if name.namespace == self._agent_namespace:
                    raise _WriteRefusedError(error.message) from error
                self._namespaces.forget(name.namespace)
            except ConflictError:
                continue
            except KubeError as error:
                raise _WriteRefusedError(error.message) from error
            else:
                page.took(made, 0)
                return
        raise _WriteRefusedError("another object of its name is created again and again")

    async def _ensure_namespace(self, page: Page, name: Name) -> None:
        """Create or verify the attempt's namespace; the agent's own needs no check."""
        if name.namespace == self._agent_namespace:
            return
        try:
            await self._namespaces.ensure(name.namespace, page.active.assignment)
        except NoNamespaceError as error:
            raise _WriteRefusedError(str(error)) from error

    async def _is_own(self, page: Page, name: Name) -> bool:
        """Return whether the existing object has this lease; delete it if it has another."""
        try:
            there = await self._kube.get(TASK_ACTION, name)
        except NotFoundError:
            return False
        if codec.parse_lease(there) == str(page.active.assignment.lease):
            page.took(there, _agree(page, there))
            return True
        await self._kube.delete(TASK_ACTION, name, uid=there["metadata"]["uid"])
        return False

    async def _patch_status(self, page: Page) -> None:
        upto = len(page.reports)
        update = [_fit(page.reports[version]) for version in range(page.written + 1, upto + 1)]
        guard = {"uid": page.uid, "resourceVersion": page.resource_version}
        body: dict[str, Any] = {"metadata": guard, "status": codec.render_status(update)}
        try:
            page.took(await self._kube.patch(TASK_ACTION, page.name, body, status=True), upto)
        except NotFoundError:
            page.lost()  # deleted by someone else: it must be created again
        except ConflictError:
            await self._check_again(page)

    async def _check_again(self, page: Page) -> None:
        """Resolve a conflict: a lost response, a foreign label, or a second agent (LedgerError)."""
        try:
            there = await self._kube.get(TASK_ACTION, page.name)
        except NotFoundError:
            page.lost()
            return
        if codec.parse_lease(there) != str(page.active.assignment.lease):
            raise LedgerError(f"TaskAction {page.name} was taken over by another agent")
        page.took(there, _agree(page, there))

    async def _delete(self, page: Page) -> None:
        await self._kube.delete(TASK_ACTION, page.name, uid=page.uid)
        page.lost()

    async def _insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Retry until the API server accepts the write: it must not be dropped."""
        while True:
            try:
                return await write()
            except KubeError as error:
                logger.error(  # noqa: TRY400 - a refusal of the API; the traceback adds nothing
                    "ledger write refused by the API server, retrying",
                    extra={"detail": str(error)},
                )
                await self._clock.sleep(journal_limits.REFUSED_AGAIN_AFTER)


class _WriteRefusedError(Exception):
    """The TaskAction cannot be created in that namespace."""


def _agree(page: Page, there: Object) -> int:
    """Return the last report version in the object; LedgerError if another agent wrote it."""
    try:
        found: Sequence[Report] = codec.parse_entry(there).reports
    except codec.BadEntryError as error:
        raise LedgerError(
            f"TaskAction {page.name} was changed by someone else ({error})"
        ) from error
    for report in found:
        own_report = page.reports.get(report.version)
        if own_report is None or _fit(own_report) != report:
            raise LedgerError(f"TaskAction {page.name} has reports of another agent")
    return len(found)


def _fit(report: Report) -> Report:
    """Drop the oldest events beyond EVENTS_BYTES."""
    size, kept = 0, []
    for event in reversed(report.events):
        size += len(event.message) + len(event.reason) + len(event.source) + 100
        if size > journal_limits.EVENTS_BYTES:
            break
        kept.append(event)
    if len(kept) == len(report.events):
        return report
    return replace(report, events=tuple(reversed(kept)))
