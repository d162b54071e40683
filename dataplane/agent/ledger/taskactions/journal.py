"""
Journal in the cluster: a TaskAction for each attempt, written by tasks of this journal.

A caller waits for the write and may be cancelled; the write continues. While the API server is
unreachable writes wait without a timeout. TaskActions of ended attempts stay for ``retention``,
the latest ENDED_TASKACTIONS_KEPT of them, for people to inspect; an agent that restarts
meanwhile sends their reports once more.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Self

from dataplane.agent.core.active_attempts import ActiveAttempt
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.namespaces import Namespaces
from dataplane.agent.kube.objects import (
    AGENT_LABEL,
    TASK_ACTION,
    Object,
    label_attempt,
    name_attempt,
    name_of,
)
from dataplane.agent.ledger.journal import Contents, Entry, LedgerError
from dataplane.agent.ledger.taskactions import codec, journal_limits
from dataplane.agent.ledger.taskactions.agent_metadata import AgentMetadata
from dataplane.agent.ledger.taskactions.specs import Specs
from dataplane.agent.ledger.taskactions.writing import Page, Writer
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.ids import AttemptId, Digest
from shared.model.reports import Report

logger = logging.getLogger(__name__)


class TaskActionJournal:
    """Journal of TaskActions; create it with :meth:`open`."""

    def __init__(
        self,
        kube: Kube,
        tasks: asyncio.TaskGroup,
        *,
        agent_namespace: str,
        namespace_template: str,
        namespaces: Namespaces,
        retention: timedelta,
        clock: Clock,
    ) -> None:
        self._kube = kube.with_retry_timeout(None)
        self._tasks = tasks
        self._agent_namespace = agent_namespace
        self._template = namespace_template
        self._retention = retention
        self._clock = clock
        self._specs = Specs(self._kube, agent_namespace)
        self._metadata = AgentMetadata(self._kube, agent_namespace, clock)
        self._writer = Writer(
            self._kube, namespaces, agent_namespace=agent_namespace, labels=self._label, clock=clock
        )
        self._pages: dict[AttemptId, Page] = {}
        self._writing: set[Page] = set()
        self._acknowledged: deque[tuple[datetime, Page]] = deque()
        self._wakeup = Wakeup()
        self._work: set[asyncio.Task[Any]] = set()  # tasks to wait for at the end
        self._accepting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<TaskActionJournal attempts={len(self._pages)} writing={len(self._writing)}>"

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        kube: Kube,
        *,
        agent_namespace: str,
        namespace_template: str,
        namespaces: Namespaces,
        retention: timedelta,
        clock: Clock,
    ) -> AsyncIterator[Self]:
        """
        Open the journal; ``namespace_template`` names the namespace of an attempt's TaskAction.

        See ``kube.objects.name_attempt``.
        """
        async with asyncio.TaskGroup() as tasks:
            journal = cls(
                kube,
                tasks,
                agent_namespace=agent_namespace,
                namespace_template=namespace_template,
                namespaces=namespaces,
                retention=retention,
                clock=clock,
            )
            metadata = tasks.create_task(journal._metadata.run(), name="ledger.facts")
            sweep = tasks.create_task(journal._sweep(), name="ledger.sweep")
            try:
                yield journal
            finally:
                metadata.cancel()
                sweep.cancel()
                await journal._finish()

    @property
    def unwritten(self) -> int:
        """Number of attempts with unwritten changes."""
        return len(self._writing)

    @property
    def acknowledged_count(self) -> int:
        """Number of TaskActions kept until their retention ends."""
        return len(self._acknowledged)

    async def load(self) -> Contents:
        metadata = await self._metadata.load()
        entries: dict[AttemptId, Entry] = {}
        for obj in await self._list():
            try:
                entry = codec.parse_entry(obj)
            except codec.BadEntryError as error:
                logger.error(  # noqa: TRY400 - the object is at fault, not the code
                    "unreadable TaskAction skipped",
                    extra={"task_action": str(name_of(obj)), "detail": str(error)},
                )
                continue
            attempt = entry.assignment.attempt
            if attempt in entries and len(entries[attempt].reports) > len(entry.reports):
                continue
            page = Page(
                ActiveAttempt(assignment=entry.assignment, accepted_at=entry.accepted_at),
                name_of(obj),
            )
            page.reports = {report.version: report for report in entry.reports}
            page.took(obj, len(page.reports))
            self._pages[attempt] = page
            entries[attempt] = entry
        return Contents(metadata, sorted(entries.values(), key=lambda entry: entry.accepted_at))

    async def accept(
        self,
        attempts: Sequence[ActiveAttempt],
        specs: Mapping[Digest, bytes],
        *,
        then: Callable[[Collection[AttemptId]], None] = lambda _: None,
    ) -> None:
        await self._carry_out(self._accept(attempts, specs, then))

    async def record(
        self, reports: Sequence[Report], *, then: Callable[[], None] = lambda: None
    ) -> None:
        if not reports:
            return
        page = self._pages.get(reports[0].attempt)
        if page is None:
            return  # it could not be stored, or is forgotten
        page.reports |= {report.version: report for report in reports}
        written = page.wait_for(reports[-1].version, then)
        self._write(page)
        await written

    async def forget(self, attempts: Sequence[AttemptId]) -> None:
        now = self._clock.now()
        for attempt in attempts:
            page = self._pages.pop(attempt, None)
            if page is None:
                continue
            if page.is_over:
                self._acknowledged.append((now + self._retention, page))
            else:
                page.is_leaving = True
                self._write(page)
        self._wakeup.wake()

    async def remember(self, metadata: Mapping[str, str]) -> None:
        if "agent_id" in metadata:  # an id that was sent must not change at a restart
            await self._carry_out(self._metadata.write_now(metadata))
        else:
            self._metadata.write_soon(metadata)

    async def spec(self, digest: Digest) -> bytes | None:
        return await self._specs.get(digest)

    def find_object(self, attempt: AttemptId) -> Object | None:
        """Return the metadata of the attempt's TaskAction as last received, if it exists."""
        page = self._pages.get(attempt)
        if page is None or not page.uid:
            return None
        metadata = {"namespace": page.name.namespace, "name": page.name.name, "uid": page.uid}
        return {"metadata": {**metadata, "annotations": page.annotations}}

    def note_object(self, attempt: AttemptId, obj: Object) -> None:
        """
        Take note of annotations that another part of the agent has written.

        Not of the resource version: only the journal's own writes may advance it, so that a
        conflict reveals a second writer.
        """
        page = self._pages.get(attempt)
        if page is not None and page.uid == obj["metadata"]["uid"]:
            page.annotations = obj["metadata"].get("annotations") or {}

    async def keep_specs(self, needed: Collection[Digest]) -> None:
        self._specs.keep(frozenset(needed))
        self._start(self._drop_specs(), "ledger.specs")

    async def _accept(
        self,
        attempts: Sequence[ActiveAttempt],
        specs: Mapping[Digest, bytes],
        then: Callable[[Collection[AttemptId]], None],
    ) -> None:
        async with self._accepting:  # assignments without specs rely on those of an earlier call
            for digest, body in specs.items():
                await self._specs.put(digest, body)
        pages = [self._page(active) for active in attempts]
        made = [page.wait_for(0, lambda: None) for page in pages]
        for page in pages:
            self._write(page)
        await asyncio.gather(*made)
        refused = [page.active.assignment.attempt for page in pages if page.is_refused]
        for attempt in refused:
            self._pages.pop(attempt, None)
        then(refused)

    def _page(self, active: ActiveAttempt) -> Page:
        page = self._pages.get(active.assignment.attempt)
        if page is None or page.active.lease != active.lease:
            page = Page(active, name_attempt(active.assignment, self._template))
            self._pages[active.assignment.attempt] = page
        return page

    def _write(self, page: Page) -> None:
        """Start a task that writes the page, unless one runs or nothing is unwritten."""
        if page not in self._writing and not page.is_done:
            self._writing.add(page)
            self._start(self._write_out(page), f"ledger {page.name}")

    async def _write_out(self, page: Page) -> None:
        try:
            await self._writer.write(page)
        finally:
            self._writing.discard(page)

    async def _sweep(self) -> None:
        """Delete TaskActions whose retention is over, and the oldest beyond the limit."""
        while True:
            pause = timedelta(hours=1)
            now = self._clock.now()
            due: list[Page] = []
            while self._acknowledged and len(due) < journal_limits.DELETES_AT_ONCE:
                at, page = self._acknowledged[0]
                if at > now and len(self._acknowledged) <= journal_limits.ENDED_TASKACTIONS_KEPT:
                    pause = at - now
                    break
                due.append(page)
                self._acknowledged.popleft()
            await asyncio.gather(*(self._delete(page) for page in due))
            if not due:
                await self._wakeup.wait(at_most=pause)

    async def _delete(self, page: Page) -> None:
        page.is_leaving = True
        if page not in self._writing and not page.is_done:
            self._writing.add(page)
            await self._write_out(page)

    async def _drop_specs(self) -> None:
        try:
            await self._specs.drop()
        except KubeError as error:
            logger.warning("unneeded specs not deleted", extra={"detail": str(error)})

    async def _list(self) -> Sequence[Object]:
        everywhere = "{" in self._template
        namespaces = [""] if everywhere else sorted({self._template, self._agent_namespace})
        try:
            return [
                obj
                for namespace in namespaces
                for obj in (
                    await self._kube.list(
                        TASK_ACTION,
                        namespace=namespace,
                        labels=f"{AGENT_LABEL}={self._agent_namespace}",
                    )
                ).items
            ]
        except NotFoundError as error:
            raise LedgerError(
                "this cluster has no TaskAction resource; apply crds/taskactions.yaml of the "
                "agent's chart"
            ) from error
        except KubeError as error:
            raise LedgerError(
                f"the agent cannot list TaskActions ({error}); see the role in its chart"
            ) from error

    def _label(self, active: ActiveAttempt) -> Mapping[str, str]:
        return {**label_attempt(active.assignment), AGENT_LABEL: self._agent_namespace}

    async def _carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        """Complete the work even if the caller is cancelled meanwhile."""
        task = self._tasks.create_task(work, name="ledger")
        self._note(task)
        await asyncio.shield(task)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._note(self._tasks.create_task(work, name=name))

    def _note(self, task: asyncio.Task[Any]) -> None:
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _finish(self) -> None:
        """Finish unwritten changes within CLOSING; the next agent misses the rest."""
        try:
            async with asyncio.timeout(journal_limits.CLOSING.total_seconds()):
                await self._metadata.flush()
                while self._work:
                    await asyncio.wait(self._work)
        except (KubeError, TimeoutError) as error:
            logger.warning(
                "ledger not fully written at exit",
                extra={"count": len(self._work), "detail": str(error)},
            )
        for task in self._work:
            task.cancel()
