"""
Models Postgres for leases: every method is one transaction, with the guards of the SQL.

The control plane's own rules decide the outcomes of reports and inventories.
``tests/contract/store`` runs the same steps against this model and against the real store, so
that results of simulations hold for the store.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from controlplane.core import attempts as rules
from controlplane.core.actions import RetryPolicy
from controlplane.core.attempts import CLUSTER_LOST, LEASE_LOST
from controlplane.core.inventory import LeaseRecord, decide_inventory
from controlplane.store.dispatch.cascades import PARENT_ENDED
from controlplane.store.dispatch.dispatches import Accepted
from controlplane.usecases.agent_sessions import SupersededError
from shared.model.assignments import Assignment
from shared.model.ids import (
    ROOT,
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    ClusterName,
    Digest,
    LeaseId,
)
from shared.model.link_messages import InventoryDecision
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import Acknowledgement, AckStatus, Report
from tests.factories import make_run_key
from tests.simulation.rows import (
    Action,
    Attempt,
    Cluster,
    Dispatch,
    Epoch,
    Lapse,
    render_assignment,
)

ActiveAttempt = tuple[AttemptId, LeaseId]


class ModelStore:
    def __init__(self, chance: Random, at: datetime) -> None:
        self.clusters: dict[ClusterName, Cluster] = defaultdict(Cluster)
        self.mark_dispatched = timedelta(0)
        self.ticked_at = at
        self.actions: dict[ActionId, Action] = {}
        self.dispatches: dict[ActionId, Dispatch] = {}
        self.attempts: dict[AttemptId, Attempt] = {}
        self.accepted: set[ActiveAttempt] = set()  # all that were ever recorded as accepted
        self.lapses: list[Lapse] = []
        self.decisions: Counter[AckStatus] = Counter()  # on what agents reported
        self.report_status: Callable[[], None] = lambda: (
            None
        )  # called when work waits or a stop was set
        self._chance = chance

    # Requests of clients.

    def create_run(self, name: str, policy: RetryPolicy, spec: Digest, now: datetime) -> ActionId:
        return self._add(ActionKey(make_run_key(name), ROOT), None, policy, spec, now)

    def enqueue(
        self, parent: ActionId, name: str, policy: RetryPolicy, spec: Digest, now: datetime
    ) -> ActionId | None:
        """Return the new or the existing action; None if the parent has ended."""
        above = self.actions[parent]
        key = ActionKey(above.key.run, ActionName(name))
        for action in self.actions.values():
            if action.key == key:
                return action.id
        if above.phase in TERMINAL:
            return None
        return self._add(key, parent, policy, spec, now)

    def abort(self, action: ActionId, reason: str) -> int:
        """Abort an action and its descendants; return how many were live."""
        if self.actions[action].phase in TERMINAL:
            return 0
        ended = {action, *self._live_descendants([action])}
        self._end(ended, reason)
        return len(ended)

    # Requests of sessions.

    def open_session(self, name: ClusterName) -> int:
        cluster = self.clusters[name]
        cluster.epoch += 1
        cluster.connected = True
        cluster.seen_served = self.mark_dispatched
        self._return_leases(lambda dispatch: dispatch.cluster == name)
        return cluster.epoch

    def close_session(self, at: Epoch) -> None:
        if at.number == self.clusters[at.cluster].epoch:
            self.clusters[at.cluster].connected = False

    def reconcile_inventory(
        self, at: Epoch, inventory: Sequence[ActiveAttempt]
    ) -> Sequence[tuple[AttemptId, LeaseId, InventoryDecision]]:
        self.require_current(at)
        self._accept(at.cluster, inventory)
        held = {
            dispatch.action: LeaseRecord(
                AttemptId(dispatch.action, dispatch.attempt), dispatch.lease, dispatch.stop_reason
            )
            for dispatch in self.dispatches.values()
            if dispatch.lease is not None and dispatch.cluster == at.cluster
        }
        known = {lease for _, lease in inventory}
        for action, each in held.items():
            dispatch = self.dispatches[action]
            if each.lease not in known and dispatch.accepted and dispatch.missing_since is None:
                dispatch.missing_since = self.mark_dispatched
        return decide_inventory(inventory, held)

    def claim(self, at: Epoch, most: int, now: datetime) -> Sequence[Assignment]:
        self.require_current(at)
        waiting = [
            dispatch
            for dispatch in self.dispatches.values()
            if dispatch.lease is None and dispatch.available_at <= now
        ]
        return [self._lease(at.cluster, dispatch, now) for dispatch in waiting[:most]]

    def list_stops(self, at: Epoch) -> Sequence[LeaseRecord]:
        self.require_current(at)
        return [
            LeaseRecord(AttemptId(each.action, each.attempt), each.lease, each.stop_reason)
            for each in self.dispatches.values()
            if each.cluster == at.cluster
            and each.lease is not None
            and each.stop_reason is not None
        ]

    def next_at(self) -> datetime | None:
        return min((d.available_at for d in self.dispatches.values() if not d.lease), default=None)

    def commit_reports(
        self, at: Epoch, accepted: Sequence[ActiveAttempt], reports: Sequence[Report], now: datetime
    ) -> tuple[Accepted, Sequence[Acknowledgement]]:
        self.require_current(at)
        answers = self.apply_reports(at.cluster, reports, now)
        self.decisions.update(answer.status for answer in answers)
        current = self._accept(at.cluster, accepted)
        return Accepted(
            confirmed=[held for held in accepted if current.get(held, "") is None],
            stops=[
                LeaseRecord(*held, reason) for held in accepted if (reason := current.get(held))
            ],
            not_leased=[held for held in accepted if held not in current],
        ), answers

    def record_heartbeat(self, at: Epoch) -> None:
        self.require_current(at)
        self.clusters[at.cluster].connected = True
        self.clusters[at.cluster].seen_served = self.mark_dispatched

    # Background passes.

    def tick(self, now: datetime, most: timedelta) -> None:
        self.mark_dispatched += min(max(now - self.ticked_at, timedelta(0)), most)
        self.ticked_at = max(self.ticked_at, now)

    def note_silent(self, silent_after: timedelta) -> None:
        for cluster in self.clusters.values():
            if self.mark_dispatched - cluster.seen_served > silent_after:
                cluster.connected = False

    def return_late(self, leased_before: datetime) -> int:
        return self._return_leases(
            lambda each: each.leased_at is not None and each.leased_at < leased_before
        )

    def expire(self, name: ClusterName, reassign_after: timedelta, now: datetime) -> int:
        """Fail the attempts of expired leases in place of their agent, and revoke the leases."""
        cluster = self.clusters[name]
        away = self.mark_dispatched - cluster.seen_served > reassign_after
        lapsed = []
        for each in self.dispatches.values():
            if each.lease is None or each.cluster != name:
                continue
            replaceable = self.actions[each.action].policy.replaceable
            missing = (
                cluster.connected
                and each.missing_since is not None
                and self.mark_dispatched - each.missing_since > reassign_after
            )
            if missing or (away and each.accepted and (replaceable or each.stop_reason)):
                attempt = AttemptId(each.action, each.attempt)
                lapsed.append(Lapse(attempt, each.lease, missing))
        self.apply_reports(name, [self._expiry_failure(lapse, now) for lapse in lapsed], now)
        for lapse in lapsed:
            row = self.attempts[lapse.attempt]
            if row.state.phase in TERMINAL:
                row.lease = self._new_lease()
        self.lapses += lapsed
        return len(lapsed)

    # Implementation.

    def apply_reports(
        self, cluster: ClusterName, reports: Sequence[Report], now: datetime
    ) -> list[Acknowledgement]:
        answers: list[Acknowledgement] = []
        by_attempt: dict[AttemptId, list[Report]] = {}
        for report in reports:
            dispatch = self.dispatches.get(report.attempt.action)
            if dispatch is not None and (
                (dispatch.cluster, dispatch.attempt, dispatch.lease)
                == (cluster, report.attempt.number, report.lease)
            ):
                by_attempt.setdefault(report.attempt, []).append(report)
                continue
            known = self.attempts.get(report.attempt)
            settled = (
                known is not None
                and known.lease == report.lease
                and known.state.version >= report.version
            )
            status = AckStatus.REPEATED if settled else AckStatus.STALE
            answers.append(Acknowledgement(report.attempt, report.version, status))
        live = {action.id for action in self.actions.values() if action.phase not in TERMINAL}
        for attempt, kind in by_attempt.items():
            update = self._apply(attempt, kind, now)
            answers += [
                Acknowledgement(
                    attempt,
                    report.version,
                    AckStatus.APPLIED if report.version in update else AckStatus.REPEATED,
                )
                for report in kind
            ]
        ended = [each for each in live if self.actions[each].phase in TERMINAL]
        self._end(self._live_descendants(sorted(ended)), PARENT_ENDED)
        return answers

    def _apply(self, attempt: AttemptId, kind: Iterable[Report], now: datetime) -> set[int]:
        action, dispatch = self.actions[attempt.action], self.dispatches[attempt.action]
        row = self.attempts[attempt]
        before = replace(
            row.state,
            action_phase=action.phase,
            failures=dispatch.failures,
            stop_requested=dispatch.stop_reason is not None,
        )
        outcome = rules.apply(before, kind, now)
        if outcome.applied:
            row.state = outcome.state
            if before.action_phase not in TERMINAL:
                action.phase = outcome.state.action_phase
                action.attempts = attempt.number + (outcome.next_step is rules.Next.RETRY)
            match outcome.next_step:
                case rules.Next.END:
                    del self.dispatches[action.id]
                case rules.Next.RETRY:
                    self.dispatches[action.id] = Dispatch(
                        action=action.id,
                        available_at=outcome.available_at or now,
                        attempt=attempt.number + 1,
                        failures=outcome.state.failures,
                    )
                    self.report_status()
                case rules.Next.KEEP:
                    pass
        return {report.version for report in outcome.applied}

    def _add(
        self,
        key: ActionKey,
        parent: ActionId | None,
        policy: RetryPolicy,
        spec: Digest,
        now: datetime,
    ) -> ActionId:
        action = ActionId(UUID(int=self._chance.getrandbits(128)))
        self.actions[action] = Action(id=action, key=key, parent=parent, policy=policy, spec=spec)
        self.dispatches[action] = Dispatch(action=action, available_at=now)
        self.report_status()
        return action

    def _live_descendants(self, above: Sequence[ActionId]) -> list[ActionId]:
        found: list[ActionId] = []
        unseen = list(above)
        while unseen:
            parent = unseen.pop()
            below = [
                each.id
                for each in self.actions.values()
                if each.parent == parent and each.phase not in TERMINAL
            ]
            found += below
            unseen += below
        return found

    def _end(self, actions: Collection[ActionId], reason: str) -> None:
        for action in sorted(set(actions)):
            self.actions[action].phase = Phase.ABORTED
            dispatch = self.dispatches.get(action)
            if dispatch is not None and dispatch.lease is None:
                del self.dispatches[action]
            elif dispatch is not None and dispatch.stop_reason is None:
                dispatch.stop_reason = reason
                self.report_status()

    def _return_leases(self, may: Callable[[Dispatch], bool]) -> int:
        """Return unaccepted leases; those with a stop end their dispatch."""
        returned = 0
        for each in list(self.dispatches.values()):
            if each.lease is None or each.accepted or not may(each):
                continue
            returned += 1
            if each.stop_reason is not None:
                attempt = self.attempts[AttemptId(each.action, each.attempt)]
                attempt.state = replace(attempt.state, phase=Phase.ABORTED)
                del self.dispatches[each.action]
                continue
            each.lease = each.cluster = each.leased_at = each.missing_since = None
        if returned:
            self.report_status()
        return returned

    def _accept(
        self, cluster: ClusterName, leases: Iterable[ActiveAttempt]
    ) -> Mapping[ActiveAttempt, str | None]:
        """Accept the current leases; return them with their stop reasons."""
        current: dict[ActiveAttempt, str | None] = {}
        for attempt, lease in leases:
            dispatch = self.dispatches.get(attempt.action)
            if dispatch is not None and (dispatch.cluster, dispatch.lease) == (cluster, lease):
                dispatch.accepted, dispatch.missing_since = True, None
                self.accepted.add((attempt, lease))
                current[attempt, lease] = dispatch.stop_reason
        return current

    def _lease(self, cluster: ClusterName, dispatch: Dispatch, now: datetime) -> Assignment:
        action = self.actions[dispatch.action]
        attempt = AttemptId(action.id, dispatch.attempt)
        dispatch.lease, dispatch.cluster = self._new_lease(), cluster
        dispatch.leased_at, dispatch.accepted = now, False
        known = self.attempts.get(attempt)
        if known is None:
            state = rules.AttemptState(
                attempt=attempt,
                phase=Phase.QUEUED,
                version=0,
                leased_at=now,
                action_phase=action.phase,
                failures=dispatch.failures,
                policy=action.policy,
                stop_requested=False,
            )
            self.attempts[attempt] = Attempt(state, dispatch.lease)
        else:
            known.lease, known.state = dispatch.lease, replace(known.state, leased_at=now)
        return render_assignment(action, attempt, dispatch.lease, self.actions, now)

    def _expiry_failure(self, lapse: Lapse, now: datetime) -> Report:
        return Report(
            attempt=lapse.attempt,
            lease=lapse.lease,
            version=self.attempts[lapse.attempt].state.version + 1,
            phase=Phase.FAILED,
            at=now,
            reason="lease_lapsed",
            failure=LEASE_LOST if lapse.missing else CLUSTER_LOST,
        )

    def _new_lease(self) -> LeaseId:
        return LeaseId(UUID(int=self._chance.getrandbits(128)))

    def require_current(self, at: Epoch) -> None:
        if at.number != self.clusters[at.cluster].epoch:
            raise SupersededError
