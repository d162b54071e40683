"""
Fake control plane: the real link over a real socket, with an in-memory store.

It hands out what :meth:`assign` gives it as far as the agent's credit goes, acknowledges
every report, keeps all of them for the test to look at, and lets a test wait for facts.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc.aio

from shared.idl.agent.v1 import assignment_pb2, call_pb2, link_pb2, link_pb2_grpc, report_pb2
from shared.model.assignments import Assignment
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.logs import LogLine
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import Acknowledgement, AckStatus, Report
from shared.wire.assignments import render_assignment
from shared.wire.ids import parse_lease, render_lease
from shared.wire.logs import parse_log_chunk
from shared.wire.reports import parse_report, render_acknowledgement

TOKEN = "a-cluster-token"  # noqa: S105 - a test's


@dataclass
class FakeSession:
    """One accepted stream."""

    epoch: int
    hello: link_pb2.Hello
    outgoing: asyncio.Queue[link_pb2.ControlFrame | None] = field(default_factory=asyncio.Queue)
    credit: int = 0
    sent: int = 0
    sent_specs: set[Digest] = field(default_factory=set)
    inventory: list[tuple[AttemptId, LeaseId]] = field(default_factory=list)
    heartbeats: int = 0
    heartbeat: link_pb2.Heartbeat = field(default_factory=link_pb2.Heartbeat)


class FakeControl:
    """Made by :func:`control_plane`."""

    def __init__(self) -> None:
        self.address = ""
        self.heartbeat = timedelta(seconds=1)
        self.decision_on: Callable[[AttemptId], link_pb2.VerdictOnLease.Kind] = lambda _: (
            link_pb2.VerdictOnLease.KIND_KEEP
        )
        self.acknowledging = True
        self.confirming = True
        self.echoing = True  # heartbeats
        self.fence = timedelta(seconds=30)
        self.reassign = timedelta(seconds=60)
        self.refusal: link_pb2.Refusal | None = None
        self.stale: set[AttemptId] = set()
        self.sessions: list[FakeSession] = []
        self.reports: dict[AttemptId, list[Report]] = defaultdict(list)
        self.received: list[Report] = []  # repeats too
        self.findings: list[link_pb2.Findings] = []
        self.stopped: set[AttemptId] = set()  # asked again of each session, as ours does
        self.accepted: list[tuple[AttemptId, LeaseId]] = []
        self.logs: dict[int, list[LogLine]] = defaultdict(list)
        self.partial_lines: dict[int, list[str]] = defaultdict(list)
        self.answers: dict[int, str] = {}
        self._specs: dict[Digest, bytes] = {}
        self._waiting: list[Assignment] = []
        self._changed = asyncio.Condition()
        self._calls = 0

    def spec(self, body: bytes) -> Digest:
        digest = Digest(hashlib.sha256(body).digest())
        self._specs[digest] = body
        return digest

    async def assign(self, *assignments: Assignment) -> None:
        self._waiting += assignments
        await self._pump()

    async def send(self, frame: link_pb2.ControlFrame) -> None:
        await self.sessions[-1].outgoing.put(frame)

    async def stop(self, assignment: Assignment, *, forget: bool = False) -> None:
        if not forget:
            self.stopped.add(assignment.attempt)
        lease = render_lease(assignment.attempt, assignment.lease)
        stop = link_pb2.Stop(lease=lease, reason="the user aborted it", forget=forget)
        await self.send(link_pb2.ControlFrame(stops=link_pb2.StopBatch(stops=[stop])))

    async def follow(
        self, attempt: AttemptId, after_line: int = 0, *, partial_lines: bool = False
    ) -> int:
        self._calls += 1
        follow = call_pb2.FollowLogs(
            attempt=assignment_pb2.AttemptId(action_id=attempt.action.bytes, number=attempt.number),
            after_line=after_line,
            partial_lines=partial_lines,
        )
        call = call_pb2.Call(id=self._calls, follow_logs=follow)
        await self.send(link_pb2.ControlFrame(call=call))
        return self._calls

    async def disconnect(self) -> None:
        await self.sessions[-1].outgoing.put(None)

    async def until(self, fact: Callable[[], Any], *, seconds: float = 60) -> None:
        """Wait until ``fact`` holds; it is checked whenever a frame is received."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: bool(fact()))
        except TimeoutError:
            raise AssertionError(
                f"not within {seconds:g} s: {len(self.sessions)} sessions, "
                f"accepted {self.accepted}, received {self.received}"
            ) from None

    async def end_of(self, assignment: Assignment, *, seconds: float = 60) -> Report:
        """Wait for the attempt's terminal report."""
        reports = self.reports[assignment.attempt]
        await self.until(lambda: reports and reports[-1].phase in TERMINAL, seconds=seconds)
        return reports[-1]

    async def phase_of(self, assignment: Assignment, phase: Phase, *, seconds: float = 60) -> None:
        reports = self.reports[assignment.attempt]
        await self.until(lambda: any(r.phase is phase for r in reports), seconds=seconds)

    # The link.

    async def Connect(  # noqa: N802 - gRPC's name
        self, frames: AsyncIterator[link_pb2.AgentFrame], context: Any
    ) -> AsyncIterator[link_pb2.ControlFrame]:
        metadata = dict(context.invocation_metadata())
        if metadata.get("authorization") != f"Bearer {TOKEN}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")
        first = await anext(frames)
        if self.refusal is not None:
            yield link_pb2.ControlFrame(refusal=self.refusal)
            return
        session = FakeSession(epoch=len(self.sessions) + 1, hello=first.hello)
        self.sessions.append(session)
        await session.outgoing.put(self._welcome(session.epoch))
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read(frames, session))
            while (frame := await session.outgoing.get()) is not None:
                yield frame
            reader.cancel()

    def _welcome(self, epoch: int) -> link_pb2.ControlFrame:
        return link_pb2.ControlFrame(
            welcome=link_pb2.Welcome(
                epoch=epoch,
                protocol=1,
                heartbeat_ms=int(self.heartbeat.total_seconds() * 1000),
                self_fence_ms=int(self.fence.total_seconds() * 1000),
                reassign_after_ms=int(self.reassign.total_seconds() * 1000),
                server_time_us=1,
                cluster="test",
            )
        )

    async def _read(self, frames: AsyncIterator[link_pb2.AgentFrame], session: FakeSession) -> None:
        try:
            async for frame in frames:
                await self._take(session, frame)
                async with self._changed:
                    self._changed.notify_all()
        finally:
            session.outgoing.put_nowait(None)

    async def _take(self, session: FakeSession, frame: link_pb2.AgentFrame) -> None:
        match frame.WhichOneof("frame"):
            case "inventory":
                await self._answer_inventory(session, frame.inventory)
            case "credit":
                session.credit = frame.credit.total
                await self._pump()
            case "accepted":
                self.accepted += [parse_lease(lease) for lease in frame.accepted.leases]
                if self.confirming:
                    confirmed = assignment_pb2.Confirmed(leases=frame.accepted.leases)
                    await session.outgoing.put(link_pb2.ControlFrame(confirmed=confirmed))
            case "reports":
                await self._answer_reports(session, frame.reports.reports)
            case "heartbeat":
                session.heartbeats += 1
                session.heartbeat = frame.heartbeat
                if self.echoing:
                    beat = link_pb2.Heartbeat(number=1, noted=frame.heartbeat.number)
                    await session.outgoing.put(link_pb2.ControlFrame(heartbeat=beat))
            case "findings":
                self.findings.append(frame.findings)
            case "reply":
                await self._take_reply(session, frame.reply)
            case unknown:
                raise AssertionError(f"the agent sent {unknown}")

    async def _answer_inventory(self, session: FakeSession, inventory: link_pb2.Inventory) -> None:
        session.inventory += [parse_lease(lease) for lease in inventory.leases]
        decisions = []
        for lease in inventory.leases:
            attempt = parse_lease(lease)[0]
            stop = attempt in self.stopped
            kind = link_pb2.VerdictOnLease.KIND_STOP if stop else self.decision_on(attempt)
            decisions.append(link_pb2.VerdictOnLease(lease=lease, kind=kind))
        await session.outgoing.put(
            link_pb2.ControlFrame(
                verdicts=link_pb2.Verdicts(verdicts=decisions, last=inventory.last)
            )
        )

    async def _answer_reports(
        self, session: FakeSession, messages: Iterable[report_pb2.Report]
    ) -> None:
        acknowledgements = []
        for report in map(parse_report, messages):
            self.received.append(report)
            known = self.reports[report.attempt]
            status = AckStatus.APPLIED
            if report.attempt in self.stale:
                status = AckStatus.STALE
            elif report.version <= len(known):
                status = AckStatus.REPEATED
            else:
                assert report.version == len(known) + 1, "a version is missing"
                known.append(report)
            acknowledgements.append(
                render_acknowledgement(Acknowledgement(report.attempt, report.version, status))
            )
        if self.acknowledging:
            batch = report_pb2.AcknowledgementBatch(acknowledgements=acknowledgements)
            await session.outgoing.put(link_pb2.ControlFrame(acknowledgements=batch))

    async def _take_reply(self, session: FakeSession, reply: call_pb2.Reply) -> None:
        match reply.WhichOneof("answer"):
            case "log_chunk":
                chunk = parse_log_chunk(reply.log_chunk)
                self.logs[reply.id] += chunk.lines
                if chunk.partial is not None:
                    self.partial_lines[reply.id].append(chunk.partial.text)
                credit = call_pb2.CallCredit(id=reply.id, chunks=1)
                await session.outgoing.put(link_pb2.ControlFrame(call_credit=credit))
            case "done":
                self.answers[reply.id] = "done"
            case "error":
                self.answers[reply.id] = reply.error.code
            case unknown:
                raise AssertionError(f"the agent answered {unknown}")

    async def _pump(self) -> None:
        """Send what waits, as far as the credit goes."""
        if not self.sessions:
            return
        session = self.sessions[-1]
        capacity = max(0, session.credit - session.sent)
        batch, self._waiting = self._waiting[:capacity], self._waiting[capacity:]
        for start in range(0, len(batch), 256):
            await session.outgoing.put(self._batch(session, batch[start : start + 256]))
        session.sent += len(batch)

    def _batch(
        self, session: FakeSession, assignments: Sequence[Assignment]
    ) -> link_pb2.ControlFrame:
        named = {item.task_spec for item in assignments} | {item.run_spec for item in assignments}
        fresh = named - session.sent_specs
        session.sent_specs |= fresh
        return link_pb2.ControlFrame(
            assignments=assignment_pb2.AssignmentBatch(
                specs=[
                    assignment_pb2.Spec(digest=digest, body=self._specs[digest])
                    for digest in fresh
                    if digest in self._specs
                ],
                assignments=[render_assignment(item) for item in assignments],
            )
        )


@asynccontextmanager
async def control_plane(port: int = 0) -> AsyncIterator[FakeControl]:
    """Serve a fake control plane on a loopback port."""
    control = FakeControl()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    link_pb2_grpc.add_LinkServiceServicer_to_server(control, server)  # type: ignore[no-untyped-call]
    control.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield control
    finally:
        await server.stop(grace=None)
