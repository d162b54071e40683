"""
State machine of the control plane's end of an agent session: message in, effects out.

``shared.model.link_session`` has the state table of both ends; ``link.session`` reads frames and
performs the effects, and decides nothing. A message that the table does not allow ends the
session and has no other effect.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from controlplane.core.agent_session_effects import (
    CallReply,
    CommitReports,
    Effect,
    FindWork,
    OpenSession,
    PassReply,
    Received,
    ReconcileInventory,
    RecordFindings,
    RecordHeartbeat,
    Send,
    Sent,
)
from controlplane.core.assignment_batches import batch_assignments
from controlplane.core.clusters import AgentInfo, AgentLoad, ClusterSpec
from controlplane.core.inventory import LeaseRecord
from controlplane.core.link_protocol import (
    MAX_CREDIT_AHEAD,
    OLDEST_PROTOCOL,
    PROTOCOL,
    Credits,
    Versions,
    choose_protocol,
)
from controlplane.core.link_timings import LinkTimings
from controlplane.core.queues import ANY_POOL
from controlplane.core.report_queue import ReportQueue
from shared.model.assignments import Assignment
from shared.model.findings import Findings
from shared.model.ids import AttemptId, Digest, LeaseId
from shared.model.link_messages import (
    Accepted,
    Acknowledgements,
    Confirmed,
    Credit,
    DesiredState,
    Heartbeat,
    Hello,
    Inventory,
    InventoryDecision,
    InventoryDecisions,
    Lease,
    Reports,
    Stop,
    Stops,
    Welcome,
)
from shared.model.link_session import (
    AgentFrame,
    End,
    ProtocolError,
    State,
    advance,
    agent_frame,
    control_frame,
)
from shared.model.reports import Acknowledgement, Report

MAX_INVENTORY = 200_000
CLAIM_AT_ONCE = 250  # assignments
DECISIONS_PER_FRAME = 1_000
POLL_INTERVAL = timedelta(seconds=15)  # for work, in case a notification was lost
RETRY_INTERVAL = timedelta(milliseconds=50)  # when waiting work is blocked by a limit or a lock


class AgentSession:
    """State of one session. Every method that returns effects expects them to be performed."""

    def __init__(self, timings: LinkTimings, now: datetime) -> None:
        self.state = State.GREETING
        self.reports = ReportQueue()
        self._timings = timings
        self._protocol = 0  # negotiated
        self._credits = Credits()
        self._inventory: list[tuple[AttemptId, LeaseId]] = []
        self._sent_specs: set[Digest] = set()
        self._sent_stops: set[LeaseId] = set()
        self._spec: ClusterSpec | None = None
        self._is_claiming = False
        self._last_received_at = now
        self._heartbeat = 0  # number of the agent's latest
        self._held = self._running = 0  # in it
        self._counted_at: datetime | None = None  # when it was received
        self._heartbeats_sent = 0
        self._findings: Findings | None = None  # the latest, not stored yet

    def receive(self, message: Received, now: datetime) -> Sequence[Effect]:
        """Take a message of the agent; ignored when the session has ended."""
        if self.state is State.ENDED:
            return []
        kind = AgentFrame.REPLY if isinstance(message, CallReply) else agent_frame(message)
        try:
            self.state = advance(self.state, kind)
        except ProtocolError as error:
            return self._end("protocol", str(error))
        self._last_received_at = now
        match message:
            case Hello():
                return self._greet(message)
            case Inventory():
                return self._list(message)
            case Credit(total):
                try:
                    self._credits.grant(total)
                except ProtocolError as error:
                    return self._end("protocol", str(error))
                return [FindWork()]
            case Accepted(leases):
                self.reports.accept(leases)
                return [CommitReports()]
            case Reports(reports):
                self.reports.report(reports)
                return [CommitReports()]
            case Heartbeat():
                self._heartbeat = message.number
                self._held, self._running = message.held, message.running
                self._counted_at = now
                return []
            case Findings():
                self._findings = message
                return []
            case _:
                return [PassReply(message.content)]

    def _greet(self, hello: Hello) -> Sequence[Effect]:
        protocol = choose_protocol(Versions(hello.protocol_min, hello.protocol_max))
        if protocol is None:
            older = "the agent" if hello.protocol_max < OLDEST_PROTOCOL else "the control plane"
            return self._end(
                "protocol_version",
                f"this control plane speaks link protocols {OLDEST_PROTOCOL} to {PROTOCOL}, the "
                f"agent ({hello.software}) {hello.protocol_min} to {hello.protocol_max}; "
                f"upgrade {older}",
                retry=False,
            )
        self._protocol = protocol
        agent = AgentInfo(
            agent_id=hello.agent_id,
            instance_id=hello.instance_id,
            software=hello.software,
            protocol=protocol,
            capabilities=hello.capabilities,
            secrets_key=hello.secrets_key,
            org=hello.org,
            cluster=hello.cluster,
            last_epoch=hello.last_epoch,
        )
        return [OpenSession(agent)]

    def _list(self, inventory: Inventory) -> Sequence[Effect]:
        if len(self._inventory) + len(inventory.leases) > MAX_INVENTORY:
            return self._end("too_much", f"the inventory lists more than {MAX_INVENTORY} attempts")
        self._inventory.extend((lease.attempt, lease.id) for lease in inventory.leases)
        if not inventory.last:
            return []
        whole, self._inventory = self._inventory, []
        return [ReconcileInventory(whole)]

    def opened(self, epoch: int, cluster: str, now: datetime) -> Sequence[Effect]:
        """Welcome the agent: its session is in the store."""
        return self._send(
            Welcome(
                epoch=epoch,
                protocol=self._protocol,
                heartbeat_every=self._timings.heartbeat,
                fence_after=self._timings.self_fence,
                reassign_after=self._timings.reassign_after,
                server_time=now,
                cluster=cluster,
            )
        )

    def reconciled(
        self, decisions: Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]
    ) -> Sequence[Effect]:
        """Send the inventory decisions, which opens the session."""
        starts = range(0, len(decisions), DECISIONS_PER_FRAME) or range(1)
        return self._send(
            *(
                InventoryDecisions(
                    [
                        (Lease(attempt, lease), decision)
                        for attempt, lease, decision in decisions[
                            start : start + DECISIONS_PER_FRAME
                        ]
                    ],
                    last=start == starts[-1],
                )
                for start in starts
            )
        )

    def accepted(
        self,
        *,
        confirmed: Collection[tuple[AttemptId, LeaseId]],
        stops: Collection[LeaseRecord],
        not_leased: Collection[tuple[AttemptId, LeaseId]],
    ) -> Sequence[Effect]:
        """Answer acceptances that were committed."""
        messages: list[Sent] = []
        if confirmed:
            messages.append(Confirmed([Lease(*each) for each in confirmed]))
        if stops:
            messages.append(_stops(stops))
        if not_leased:
            messages.append(
                Stops(
                    [
                        Stop(lease=Lease(*each), reason="the lease was released", forget=True)
                        for each in not_leased
                    ]
                )
            )
        return self._send(*messages)

    def committed(
        self, acknowledged: Sequence[Acknowledgement], locked: Sequence[Report], now: datetime
    ) -> Sequence[Effect]:
        """Acknowledge reports that were committed; ``locked`` are to be committed again."""
        was_full = self.reports.is_full
        self.reports.committed(locked)
        if was_full and not self.reports.is_full:
            self._last_received_at = now  # no frame was read meanwhile
        return self._send(Acknowledgements(acknowledged)) if acknowledged else []

    def begin_claim(self) -> int:
        """Return how many assignments to claim; :meth:`claimed` ends the claim."""
        self._is_claiming = True
        return min(self._credits.remaining, CLAIM_AT_ONCE)

    def claimed(self, spec: ClusterSpec, count: int) -> Sequence[Effect]:
        """Count the assignments of a claim against the credit; send ``spec`` if it changed."""
        self._is_claiming = False
        self._credits.spend(count)
        return self._desire(spec)

    def is_relevant(self, pools: Collection[str]) -> bool:
        """
        Return whether a notification of work in these pools is worth a transaction.

        Without credit it is not: a grant of credit finds work anyway. While a claim is under
        way, neither the pool nor the credit left after it is known.
        """
        if self._is_claiming or self._spec is None:
            return True
        return (
            self._credits.remaining > 0
            and self._spec.takes_work
            and (ANY_POOL in pools or self._spec.pool in pools)
        )

    def unsent_specs(self, assignments: Iterable[Assignment]) -> Collection[Digest]:
        """Return the specs that the assignments name and the agent has not been sent."""
        named = {digest for each in assignments for digest in (each.task_spec, each.run_spec)}
        return named - self._sent_specs

    def assign(
        self, assignments: Iterable[Assignment], specs: Mapping[Digest, bytes]
    ) -> Sequence[Effect]:
        """Send claimed assignments with their unsent specs."""
        self._sent_specs |= specs.keys()
        return self._send(*batch_assignments(assignments, specs))

    def stop(self, stops: Sequence[LeaseRecord]) -> Sequence[Effect]:
        """Send those of the requested stops that this session has not sent."""
        new = [each for each in stops if each.lease not in self._sent_stops]
        self._sent_stops = {each.lease for each in stops}
        return self._send(_stops(new)) if new else []

    @staticmethod
    def claim_pause(next_at: datetime | None, now: datetime) -> timedelta:
        """Return how long until waiting work may be leased, at most the poll interval."""
        if next_at is None:
            return POLL_INTERVAL
        return min(max(next_at - now, RETRY_INTERVAL), POLL_INTERVAL)

    def tick(self, now: datetime) -> Sequence[Effect]:
        """Send a heartbeat, or end the session if the agent's heartbeats have stopped."""
        # If the clock was set back, the timeout would otherwise wait until it has caught up.
        self._last_received_at = min(self._last_received_at, now)
        if not self.reports.is_full and now - self._last_received_at > self._timings.silent_after:
            return self._end("silent", "the agent sent no frame in time")
        load = AgentLoad(
            held=min(self._held, MAX_INVENTORY),
            running=min(self._running, MAX_INVENTORY),
            slots=min(self._credits.remaining, MAX_CREDIT_AHEAD),
            counted_at=self._counted_at,
        )
        heartbeat = RecordHeartbeat(load, self._heartbeat, now)
        # With a heartbeat, so that an agent that sends many has no more of them stored.
        latest, self._findings = self._findings, None
        return [heartbeat] if latest is None else [heartbeat, RecordFindings(latest)]

    def heartbeat_recorded(self, recorded: RecordHeartbeat, spec: ClusterSpec) -> Sequence[Effect]:
        """Acknowledge the agent's heartbeat; send ``spec`` if it changed."""
        desired = self._desire(spec)
        self._heartbeats_sent += 1
        heartbeat = Heartbeat(
            number=self._heartbeats_sent, sent_at=recorded.at, noted=recorded.noted
        )
        return [*desired, *self._send(heartbeat)]

    def _desire(self, spec: ClusterSpec) -> Sequence[Effect]:
        known, self._spec = self._spec, spec
        # The deletion of an org and its restoring change no cluster's version.
        if known is not None and (known.version, known.end_attempts) == (
            spec.version,
            spec.end_attempts,
        ):
            return []
        desired = DesiredState(
            version=spec.version,
            cordoned=spec.cordoned,
            draining=spec.draining,
            renew_serial=spec.renew_serial,
            end_attempts=spec.end_attempts,
        )
        return [*self._send(desired), FindWork()]  # the cluster may have been uncordoned

    def _send(self, *messages: Sent) -> Sequence[Effect]:
        """Send messages, unless the session has ended meanwhile; ProtocolError is a bug of ours."""
        if self.state is State.ENDED:
            return []
        for message in messages:
            self.state = advance(self.state, control_frame(message))
        return [Send(message) for message in messages]

    def _end(self, code: str, message: str, *, retry: bool = True) -> Sequence[Effect]:
        self.state = State.ENDED
        return [End(code, message, retry)]


def _stops(stops: Iterable[LeaseRecord]) -> Stops:
    return Stops(
        [
            Stop(lease=Lease(each.attempt, each.lease), reason=each.stop_reason or "", forget=False)
            for each in stops
        ]
    )
