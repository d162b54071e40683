"""
The ledger in the cluster: a TaskAction for each attempt, written by tasks of this journal.

Whoever asks waits for the write and may be cancelled; the write goes on. While the API cannot
be reached writes wait, for as long as it takes. What is over stays for ``retention``, the
latest few thousand, for people to look at; an agent that begins anew meanwhile says their
reports once more.
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
from dataplane.agent.ledger.taskactions import codec, limits
from dataplane.agent.ledger.taskactions.facts import AgentMetadata
from dataplane.agent.ledger.taskactions.specs import Specs
from dataplane.agent.ledger.taskactions.writing import Page, Writer
from shared.kit.clock import Clock
from shared.kit.wakeup import Wakeup
from shared.model.ids import AttemptId, Digest
from shared.model.reports import Report

logger = logging.getLogger(__name__)


class TaskActionJournal:
    """Made by :meth:`open`."""

    def __init__(
        self,
        kube: Kube,
        tasks: asyncio.TaskGroup,
        *,
        place: str,
        namespace_template: str,
        namespaces: Namespaces,
        retention: timedelta,
        clock: Clock,
    ) -> None:
        self._kube = kube.with_retry_timeout(None)
        self._tasks = tasks
        self._place = place
        self._template = namespace_template
        self._retention = retention
        self._clock = clock
        self._specs = Specs(self._kube, place)
        self._metadata = AgentMetadata(self._kube, place, clock)
        self._writer = Writer(self._kube, namespaces, place=place, labels=self._label, clock=clock)
        self._pages: dict[AttemptId, Page] = {}
        self._writing: set[Page] = set()
        self._acknowledged: deque[tuple[datetime, Page]] = deque()
        self._wakeup = Wakeup()
        self._work: set[asyncio.Task[Any]] = set()  # what has an end
        self._accepting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<TaskActionJournal attempts={len(self._pages)} writing={len(self._writing)}>"

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        kube: Kube,
        *,
        place: str,
        namespace_template: str,
        namespaces: Namespaces,
        retention: timedelta,
        clock: Clock,
    ) -> AsyncIterator[Self]:
        """
        Write with ``kube``; ``place`` is the agent's namespace.

        ``namespace_template`` says where an attempt's TaskAction is: see ``name_attempt``.
        """
        async with asyncio.TaskGroup() as tasks:
            journal = cls(
                kube,
                tasks,
                place=place,
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
        """How many attempts have something that is not written yet."""
        return len(self._writing)

    @property
    def acknowledged_count(self) -> int:
        """How many TaskActions wait for their retention to end."""
        return len(self._acknowledged)

    async def load(self) -> Contents:
        metadata = await self._metadata.load()
        entries: dict[AttemptId, Entry] = {}
        for obj in await self._list():
            try:
                entry = codec.parse_entry(obj)
            except codec.BadEntryError as error:
                logger.error(  # noqa: TRY400 - somebody's object, no fault of ours
                    "a TaskAction cannot be read and is left alone",
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
            return  # it was not taken, or is forgotten
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
        if "agent_id" in metadata:  # whoever has said who it is must stay that
            await self._carry_out(self._metadata.write_now(metadata))
        else:
            self._metadata.write_soon(metadata)

    async def spec(self, digest: Digest) -> bytes | None:
        return await self._specs.get(digest)

    def find_object(self, attempt: AttemptId) -> Object | None:
        """Return the metadata of the attempt's TaskAction as it was heard of last, if it is."""
        page = self._pages.get(attempt)
        if page is None or not page.uid:
            return None
        metadata = {"namespace": page.name.namespace, "name": page.name.name, "uid": page.uid}
        return {"metadata": {**metadata, "annotations": page.annotations}}

    def note_object(self, attempt: AttemptId, obj: Object) -> None:
        """
        Take note of annotations that somebody else among us has written.

        Not of its resource version: only our own writes show that nobody else writes here.
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
        async with self._accepting:  # whoever brings no specs relies on those of the last
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
        """See to it that the page is written; one task for each that is not."""
        if page not in self._writing and not page.is_done:
            self._writing.add(page)
            self._start(self._write_out(page), f"ledger {page.name}")

    async def _write_out(self, page: Page) -> None:
        try:
            await self._writer.write(page)
        finally:
            self._writing.discard(page)

    async def _sweep(self) -> None:
        """Delete what has been settled for long enough, and the oldest of too many."""
        while True:
            pause = timedelta(hours=1)
            now = self._clock.now()
            due: list[Page] = []
            while self._acknowledged and len(due) < limits.DELETES_AT_ONCE:
                at, page = self._acknowledged[0]
                if at > now and len(self._acknowledged) <= limits.ENDED_TASKACTIONS_KEPT:
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
            logger.warning("specs are not dropped", extra={"detail": str(error)})

    async def _list(self) -> Sequence[Object]:
        everywhere = "{" in self._template
        namespaces = [""] if everywhere else sorted({self._template, self._place})
        try:
            return [
                obj
                for namespace in namespaces
                for obj in (
                    await self._kube.list(
                        TASK_ACTION, namespace=namespace, labels=f"{AGENT_LABEL}={self._place}"
                    )
                ).items
            ]
        except NotFoundError as error:
            raise LedgerError(
                "this cluster does not know TaskActions; apply crds/taskactions.yaml of the "
                "agent's chart"
            ) from error
        except KubeError as error:
            raise LedgerError("the agent may not list TaskActions; see its role") from error

    def _label(self, active: ActiveAttempt) -> Mapping[str, str]:
        return {**label_attempt(active.assignment), AGENT_LABEL: self._place}

    async def _carry_out(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it even if whoever asked is cancelled meanwhile."""
        task = self._tasks.create_task(work, name="ledger")
        self._note(task)
        await asyncio.shield(task)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._note(self._tasks.create_task(work, name=name))

    def _note(self, task: asyncio.Task[Any]) -> None:
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _finish(self) -> None:
        """Write what is left, for a while; what is not written then the next agent will miss."""
        try:
            async with asyncio.timeout(limits.CLOSING.total_seconds()):
                await self._metadata.flush()
                while self._work:
                    await asyncio.wait(self._work)
        except (KubeError, TimeoutError) as error:
            logger.warning(
                "the ledger is not all written",
                extra={"count": len(self._work), "detail": str(error)},
            )
        for task in self._work:
            task.cancel()
