"""Run attempts on Kubernetes, one reconciler each, and serve their logs."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field

from dataplane.agent.core import link_limits
from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.kube.objects import POD
from dataplane.agent.runtimes.kubernetes import runtime_limits
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.live_logs import Tail, View
from dataplane.agent.runtimes.kubernetes.plugin import Plugin
from dataplane.agent.runtimes.kubernetes.reconciler import AttemptReconciler
from dataplane.agent.runtimes.protocol import Job, NoLogError, ReportStatus
from dataplane.agent.runtimes.unsupported import unsupported
from shared.formats.shipped_logs import DamagedLogError, Unpacking
from shared.kit.cache import LruCache
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk, LogLine


@dataclass(slots=True)
class _Known:
    """An attempt whose log can be read."""

    job: Job
    reconciler: AttemptReconciler
    plugin: Plugin
    over: bool = False
    log_uri: str = ""
    followers: set[asyncio.Event] = field(default_factory=set)

    def view(self) -> View:
        return self.reconciler.view(over=self.over)

    def end(self, log_uri: str) -> None:
        self.over = True
        self.log_uri = log_uri
        self.reconciler.forget()
        for follower in self.followers:
            follower.set()


class KubernetesRuntime:
    """Runs each task with the plugin of its type, and as a plain pod if no plugin has the type."""

    def __init__(self, cluster: Cluster, plugins: Sequence[Plugin]) -> None:
        self._cluster = cluster
        self._by_type = {name: plugin for plugin in plugins for name in plugin.task_types}
        self._default = next(plugin for plugin in plugins if plugin.kind == POD)
        self._known: LruCache[AttemptId, _Known] = LruCache(
            runtime_limits.ENDED_REMEMBERED, may_evict=lambda _, known: known.over
        )

    def __repr__(self) -> str:
        running = sum(not known.over for known in self._known.values())
        return f"<KubernetesRuntime running={running}>"

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        plugin = self._by_type.get(job.task.type, self._default)
        if plugin.kind not in self._cluster.informers:
            return unsupported(
                job,
                f"which needs {plugin.kind.plural}.{plugin.kind.group}; "
                "install the operator that provides it, then restart the agent",
            )
        reconciler = AttemptReconciler(self._cluster, plugin, job, report_status, stop)
        known = self._known[job.assignment.attempt] = _Known(job, reconciler, plugin)
        log_uri = ""
        try:
            update = await reconciler.run()
            log_uri = update.log_uri
            return update
        finally:
            known.end(log_uri)

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        known = self._known.get(attempt)
        if known is None:
            raise NoLogError(f"this agent has no log of attempt {attempt}, or has it no longer")
        line = 0
        with ExitStack() as stack:
            changed = asyncio.Event()
            pods, events = self._cluster.pods, self._cluster.events
            stack.enter_context(pods.notified(str(attempt), changed))
            stack.enter_context(events.notified(str(attempt), changed))
            known.followers.add(changed)
            stack.callback(known.followers.discard, changed)
            tail = Tail(self._cluster.kube, known.view, changed, self._cluster.clock)
            async with aclosing(tail.batches()) as batches:
                async for batch in batches:
                    for chunk in _chunks(batch, before=line, after=after_line):
                        yield chunk
                    line += len(batch)
        if not known.log_uri:
            for chunk in _chunks(tail.rest(), before=line, after=after_line):
                yield chunk
            return
        seen, line = line, 0
        async for batch in self._read_shipped(known):
            for chunk in _chunks(batch, before=line, after=max(seen, after_line)):
                yield chunk
            line += len(batch)

    async def _read_shipped(self, known: _Known) -> AsyncIterator[Sequence[LogLine]]:
        """Yield the lines of a log that is in the store."""
        unpacking = Unpacking(after_line=0)
        store = self._cluster.stores.of(known.job.assignment)
        try:
            async for packed in await store.stream(known.log_uri):
                batches = unpacking.feed(packed)
                while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                    yield batch
            yield unpacking.close()
        except DamagedLogError as error:
            # The task can write to its output prefix.
            raise NoLogError(f"the log {known.log_uri} is damaged: {error}") from error


def _chunks(lines: Sequence[LogLine], *, before: int, after: int) -> Iterator[LogChunk]:
    """
    Cut lines, of which ``before`` came earlier, into chunks; leave out those up to
    ``after``.
    """
    chunk: list[LogLine] = []
    size = 0
    number = before
    for number, line in enumerate(lines, before + 1):
        if number <= after:
            continue
        chunk.append(line)
        size += len(line.text)
        if len(chunk) >= link_limits.CHUNK_LINES or size >= link_limits.CHUNK_BYTES:
            yield LogChunk(chunk, number)
            chunk, size = [], 0
    if chunk:
        yield LogChunk(chunk, number)
