"""Runs the same step on the model and on the real store, and reads the state of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

from sqlalchemy import text

from controlplane.core.actions import RetryPolicy, Spec
from controlplane.core.clusters import AgentInfo, AgentLoad
from controlplane.core.fair_scheduler import FairScheduler
from controlplane.core.link_timings import LinkTimings
from controlplane.loops.leases import LeaseExpiry
from controlplane.store.database import Database
from controlplane.store.dispatch.aborts import abort
from controlplane.store.dispatch.admit import Enqueue, Enqueued
from controlplane.store.dispatch.enqueue import enqueue
from controlplane.store.resources.clusters import ClusterRef
from controlplane.store.resources.runs import create_run
from controlplane.usecases.agent_sessions import AgentSessionRef, AgentSessions, SupersededError
from shared.model.ids import ActionId, AttemptId, ClusterName, Digest, LeaseId, RunId
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind, Report
from tests.factories import ORG, make_new_action, make_new_run, make_spec
from tests.fakes.clock import FakeClock
from tests.simulation.model import ModelStore
from tests.simulation.rows import Epoch

TIMINGS = LinkTimings(
    heartbeat=timedelta(seconds=1),
    silent_after=timedelta(seconds=4),
    acceptance=timedelta(seconds=3),
    self_fence=timedelta(seconds=8),
    reassign_after=timedelta(seconds=20),
)
CLUSTERS = (ClusterName("c1"), ClusterName("c2"))
_FACTS = AgentInfo(
    agent_id="a", instance_id="i", software="s", protocol=1, capabilities=("python",)
)
_STATE = {
    "actions": "SELECT id, phase, attempts FROM actions WHERE org = :org",
    "dispatches": """
        SELECT action_id, attempt, cluster, lease_id IS NOT NULL AS leased,
               accepted_at IS NOT NULL AS accepted, missing_since, stop_reason, available_at,
               user_failures, system_failures, preemptions
        FROM dispatches WHERE org = :org""",
    "attempts": "SELECT action_id, number, phase, version FROM attempts WHERE org = :org",
    "clusters": "SELECT cluster, epoch, connected, seen_served FROM clusters WHERE org = :org",
    "clock": "SELECT served FROM control_clock",
}


@dataclass(frozen=True, slots=True)
class Known:
    """A claimed lease, which has another id in each store."""

    attempt: AttemptId
    cluster: ClusterName
    in_model: LeaseId
    in_store: LeaseId

    @property
    def model(self) -> tuple[AttemptId, LeaseId]:
        return self.attempt, self.in_model

    @property
    def store(self) -> tuple[AttemptId, LeaseId]:
        return self.attempt, self.in_store


@dataclass(slots=True)
class Steps:
    """Steps for model and store: each method runs one step on both and returns both answers."""

    chance: Random
    clock: FakeClock
    model: ModelStore
    database: Database
    known: list[Known] = field(default_factory=list)
    epochs: list[tuple[ClusterName, int]] = field(default_factory=list)
    names: int = 0
    sessions: AgentSessions = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = AgentSessions(self.database, self.clock)

    async def create(self) -> tuple[object, object]:
        spec, self.names = self._spec(), self.names + 1
        name = f"r{self.names}"
        made = self.model.create_run(name, spec.policy, spec.digest, self.clock.now())
        new = replace(make_new_run(name), spec=spec)
        async with self.database.for_org(ORG) as tx:
            _, run = await create_run(tx, RunId(made), new, by="x", now=self.clock.now())
        return made, run

    async def enqueue(self) -> tuple[object, object]:
        parent = self.model.actions[self.chance.choice(list(self.model.actions))]
        spec, self.names = self._spec(), self.names + 1
        name = f"a{self.names}"
        made = self.model.enqueue(parent.id, name, spec.policy, spec.digest, self.clock.now())
        new = make_new_action(name, run=parent.key.run.name, parent=parent.key.name)
        request = Enqueue(made or ActionId(parent.id), replace(new, spec=spec))
        async with self.database.for_org(ORG) as tx:
            [answer] = await enqueue(tx, [request], self.clock.now())
        assert isinstance(answer, Enqueued), answer  # no run recovers another
        return ("PARENT_ENDED" if made is None else "CREATED"), answer.name

    async def abort(self) -> tuple[object, object]:
        action = self.model.actions[self.chance.choice(list(self.model.actions))]
        root = action
        while root.parent is not None:
            root = self.model.actions[root.parent]
        ended = self.model.abort(action.id, "enough")
        async with self.database.for_org(ORG) as tx:
            really = await abort(
                tx, RunId(root.id), action.key.name, reason="enough", by="x", now=self.clock.now()
            )
        return ended, really

    async def open(self) -> tuple[object, object]:
        cluster = self.chance.choice(CLUSTERS)
        epoch = self.model.open_session(cluster)
        session = await self.sessions.open(ClusterRef(ORG, cluster), _FACTS)
        self.epochs.append((cluster, epoch))
        return epoch, session.epoch

    async def close(self) -> tuple[object, object]:
        at, session = self._session()
        self.model.close_session(at)
        await self.sessions.close(session)
        return None, None

    async def record_heartbeat(self) -> tuple[object, object]:
        at, session = self._session()
        return await self._both(
            lambda: self.model.record_heartbeat(at),
            self.sessions.record_heartbeat(session, AgentLoad()),
        )

    async def claim(self) -> tuple[object, object]:
        at, session = self._session()
        try:
            modelled = self.model.claim(at, 1000, self.clock.now())
        except SupersededError:
            return await self._both(
                lambda: self.model.require_current(at),
                self.sessions.hand_out(session, 1000, FairScheduler()),
            )
        real = (await self.sessions.hand_out(session, 1000, FairScheduler())).assignments
        by_attempt = {each.attempt: each.lease for each in real}
        self.known += [
            Known(each.attempt, at.cluster, each.lease, by_attempt[each.attempt])
            for each in modelled
            if each.attempt in by_attempt
        ]
        return _claimed(modelled), _claimed(real)

    async def list_stops(self) -> tuple[object, object]:
        at, session = self._session()
        stops, found = await self._both(
            lambda: self.model.list_stops(at), self.sessions.hand_out(session, 0, FairScheduler())
        )
        if "superseded" in (stops, found):
            return stops, found
        assert hasattr(found, "stops")
        assert isinstance(stops, list)
        return (
            {(each.attempt, each.stop_reason) for each in stops},
            {(each.attempt, each.stop_reason) for each in found.stops},
        )

    async def reconcile_inventory(self) -> tuple[object, object]:
        at, session = self._session()
        inventory = self._some(6)
        modelled, real = await self._both(
            lambda: self.model.reconcile_inventory(at, [each.model for each in inventory]),
            self.sessions.reconcile_inventory(session, [each.store for each in inventory]),
        )
        return _decided(modelled), _decided(real)

    async def commit_reports(self) -> tuple[object, object]:
        at, session = self._session()
        accepted, of = self._some(4), self._some(4)
        reports = [self._report(each.attempt, each.in_model) for each in of]
        really = [
            replace(report, lease=each.in_store) for report, each in zip(reports, of, strict=True)
        ]
        try:
            noted, answers = self.model.commit_reports(
                at, [each.model for each in accepted], reports, self.clock.now()
            )
        except SupersededError:
            return await self._both(
                lambda: self.model.require_current(at),
                self.sessions.commit_reports(session, [each.store for each in accepted], really),
            )
        committed = await self.sessions.commit_reports(
            session, [each.store for each in accepted], really
        )
        translate = {each.store: each.model for each in self.known}
        return (
            (
                sorted(noted.confirmed),
                sorted((each.attempt, each.lease, each.stop_reason) for each in noted.stops),
                sorted(noted.not_leased),
                sorted(map(str, answers)),
            ),
            (
                sorted(translate[each] for each in committed.accepted.confirmed),
                sorted(
                    (*translate[each.attempt, each.lease], each.stop_reason)
                    for each in committed.accepted.stops
                ),
                sorted(translate[each] for each in committed.accepted.not_leased),
                sorted(map(str, committed.acknowledged)),
            ),
        )

    async def run_passes(self) -> tuple[object, object]:
        """Advance the clock, perhaps past an outage, and run the lease passes."""
        seconds = self.chance.choice([0.5, 1.0, 2.0, 2.0, 4.0, 60.0])
        self.clock.advance(timedelta(seconds=seconds))
        now = self.clock.now()
        self.model.tick(now, 5 * TIMINGS.passes)
        self.model.note_silent(TIMINGS.silent_after)
        count = self.model.return_late(now - TIMINGS.acceptance)
        for cluster in CLUSTERS:
            count += self.model.expire(cluster, TIMINGS.reassign_after, now)
        return count, await LeaseExpiry(self.database, self.clock, TIMINGS).run_once()

    async def wait_long(self) -> tuple[object, object]:
        """Advance the clock until leases expire; some clusters keep sending heartbeats."""
        connected = self.chance.choice([(), CLUSTERS[:1], CLUSTERS])
        modelled: list[object] = []
        really: list[object] = []
        for _ in range(16):
            for cluster in connected:
                latest = self.model.clusters[cluster].epoch
                session = AgentSessionRef(ClusterRef(ORG, cluster), latest)
                if latest:
                    self.model.record_heartbeat(Epoch(cluster, latest))
                    await self.sessions.record_heartbeat(session, AgentLoad())
            expected, found = await self.run_passes()
            modelled.append(expected)
            really.append(found)
        return modelled, really

    async def state(self) -> tuple[dict[str, object], dict[str, object]]:
        """Return the compared state of the model and of the store."""
        async with self.database.for_org(ORG) as tx:
            real: dict[str, object] = {
                name: sorted(map(tuple, await tx.rows(text(query))), key=str)
                for name, query in _STATE.items()
            }
        return self._modelled(), real

    def _modelled(self) -> dict[str, object]:
        model = self.model
        rows: dict[str, list[tuple[object, ...]]] = {
            "actions": [(a.id, a.phase.value, a.attempts) for a in model.actions.values()],
            "dispatches": [
                (
                    *(d.action, d.attempt, d.cluster, d.lease is not None, d.accepted),
                    *(d.missing_since, d.stop_reason, d.available_at),
                    *(d.failures.user, d.failures.system, d.failures.preemption),
                )
                for d in model.dispatches.values()
            ],
            "attempts": [
                (key.action, key.number, row.state.phase.value, row.state.version)
                for key, row in model.attempts.items()
            ],
            "clusters": [
                (name, each.epoch, each.connected, each.seen_served)
                for name, each in ((name, model.clusters[name]) for name in CLUSTERS)
            ],
            "clock": [(model.mark_dispatched,)],
        }
        return {name: sorted(each, key=str) for name, each in rows.items()}

    async def _both(self, modelled: object, real: object) -> tuple[object, object]:
        """Run a step on both; a superseded session counts as an answer."""
        try:
            expected = modelled()  # type: ignore[operator]
        except SupersededError:
            expected = "superseded"
        try:
            answer = await real  # type: ignore[misc]
        except SupersededError:
            answer = "superseded"
        if "superseded" in (expected, answer) or expected is not None:
            return expected, answer
        return None, None

    def _session(self) -> tuple[Epoch, AgentSessionRef]:
        """Choose a session, mostly one of the latest."""
        cluster, number = self.chance.choice(self.epochs[-3:])
        return Epoch(cluster, number), AgentSessionRef(ClusterRef(ORG, cluster), number)

    def _some(self, most: int) -> list[Known]:
        late = self.known[-8:]
        return self.chance.sample(late, min(len(late), self.chance.randint(0, most)))

    def _report(self, attempt: AttemptId, lease: LeaseId) -> Report:
        phase = self.chance.choice(
            [*[Phase.RUNNING] * 4, Phase.SUCCEEDED, Phase.FAILED, Phase.FAILED, Phase.ABORTED]
        )
        kind = self.chance.choice(list(FailureKind))
        failed = Failure(
            code="Broken", kind=kind, message="it broke", recoverable=self.chance.random() < 0.8
        )
        return Report(
            attempt=attempt,
            lease=lease,
            version=self.chance.randint(1, 4),
            phase=phase,
            at=self.clock.now(),
            failure=failed if phase is Phase.FAILED else None,
        )

    def _spec(self) -> Spec:
        policy = RetryPolicy(
            retries=self.chance.choice([0, 1]),
            backoff_base=timedelta(seconds=self.chance.choice([0, 1])),
            replaceable=self.chance.random() < 0.5,
        )
        body = repr(policy).encode()
        made = make_spec(body)
        return replace(made, policy=policy, digest=Digest(made.digest))


def _claimed(assignments: Sequence[object]) -> list[str]:
    """Describe claimed assignments without their lease ids, which are random."""
    return sorted(
        f"{each.attempt} {each.key} {each.parent} {each.replaceable}"  # type: ignore[attr-defined]
        for each in assignments
    )


def _decided(judged: object) -> object:
    if not isinstance(judged, list):
        return judged
    return [(attempt, how) for attempt, _, how in judged]
