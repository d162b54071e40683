"""
Reconcile one attempt: create its Kubernetes resource, watch it, classify its end, delete it.

Level-triggered: each time it wakes it reads the current state, so that what an earlier agent
did is found rather than remembered. A resource is created once: one that existed and is gone
was deleted by another client, and its attempt is over. A failure is reported only when no
process of the attempt runs any more, so that no retry runs concurrently with it.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dataplane.agent.core import attempt_limits
from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.kube.errors import KubeError
from dataplane.agent.kube.objects import POD, Object, name_of
from dataplane.agent.kube.retries import call_with_retries
from dataplane.agent.ledger.journal import LedgerError
from dataplane.agent.runtimes import artifacts, log_links
from dataplane.agent.runtimes.features import REASON, RuntimeKind, list_ignored
from dataplane.agent.runtimes.kubernetes import (
    creation_errors,
    events,
    failures,
    input_templates,
    logs,
    runtime_limits,
    statuses,
)
from dataplane.agent.runtimes.kubernetes.attempt_secrets import PlacedSecrets, place_secrets
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.endings import conclude, has_succeeded
from dataplane.agent.runtimes.kubernetes.live_logs import View
from dataplane.agent.runtimes.kubernetes.plugin import (
    Observation,
    ObservationContext,
    Plugin,
    Stage,
)
from dataplane.agent.runtimes.kubernetes.recorded_outcomes import AttemptOutcome
from dataplane.agent.runtimes.kubernetes.resource import Resource
from dataplane.agent.runtimes.protocol import Job, ReportStatus
from dataplane.agent.runtimes.secrets import SecretError
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.blobs.errors import BlobError
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, Failure, FailureKind, LogLink

logger = logging.getLogger(__name__)

_PHASES = {
    Stage.QUEUED: Phase.WAITING_FOR_RESOURCES,
    Stage.INITIALIZING: Phase.INITIALIZING,
    Stage.RUNNING: Phase.RUNNING,
}


_UNSEEN_FOR = timedelta(seconds=10)  # after that the reason is reported
_PASSING = timedelta(seconds=1)  # an image that is on the node, a volume that is at hand
_ORDINARY = frozenset({"ContainerCreating", "PodInitializing", "Pulling"})


class AttemptReconciler:
    def __init__(
        self,
        cluster: Cluster,
        plugin: Plugin,
        job: Job,
        report_status: ReportStatus,
        stop: asyncio.Event,
    ) -> None:
        self._cluster = cluster
        self._plugin = plugin
        self._job = job
        self._report_status = report_status
        self._stop = stop
        self._resource = Resource(cluster, plugin.kind, job.assignment)
        # An earlier agent reported the resource, not what prevented its creation.
        self._begun = (
            job.last_reported is not Phase.QUEUED
            and job.last_reported_reason not in creation_errors.WAITED_FOR
        )
        self._last: Sequence[Object] = ()  # the pods, as last observed
        self._log_pods: Sequence[str] | None = None
        self._preparing_since: datetime | None = None
        self._reported: set[tuple[Phase, str]] = set()
        self._reported_events: set[ClusterEvent] = set()
        self._remarks: Sequence[ClusterEvent] = ()  # the agent's own events: what was left out
        self._links_reported = False
        self._changed = asyncio.Event()

    def view(self, *, over: bool) -> View:
        """Return a snapshot of the attempt's log sources."""
        grows = self._plugin.kind != POD
        return View(pods=self._resource.pods(), names=self._log_pods, over=over, grows=grows)

    def forget(self) -> None:
        """Release observations: of thousands of ended attempts only the logs are needed."""
        self._last = ()

    async def run(self) -> StatusUpdate:
        """Reconcile the attempt until it has ended; return its final status update."""
        attempt = str(self._job.assignment.attempt)
        with self._cluster.notified(attempt, self._plugin.kind) as self._changed:
            await self._see_all()
            self._resource.recall_name()
            try:
                update = await self._reconcile()
            except LedgerError:
                raise  # the agent shuts down; the next one continues
            except Exception:
                # After an internal error too, no retry may run concurrently with the created
                # resource.
                await self._resource.remove(self._cluster.grace, self._wait)
                await self._resource.remove_secrets()
                raise
            await self._resource.remove_secrets()
            return update

    async def _reconcile(self) -> StatusUpdate:
        if self._begun or self._resource.was_seen():
            outcome = await self._resource.find_outcome()
            if outcome is not None:  # an earlier agent was about to delete it
                return await self._delete_and_report(outcome)
        else:
            failed = await self._make()
            if failed is not None:
                return failed
        return await self._follow()

    async def _see_all(self) -> None:
        """Wait for the informers to sync; report the reason if that takes long."""
        try:
            async with asyncio.timeout(_UNSEEN_FOR.total_seconds()):
                await self._cluster.synced(self._plugin.kind)
        except TimeoutError:
            why = self._cluster.problem(self._plugin.kind) or "the first list has not completed"
            message = f"the agent has not synced with the cluster yet: {why}"
            if not self._begun:  # else the last reported phase still stands
                await self._report_once(
                    Phase.WAITING_FOR_RESOURCES, creation_errors.UNAVAILABLE, message
                )
            await self._cluster.synced(self._plugin.kind)

    async def _make(self) -> StatusUpdate | None:
        """Create the resource; return the final status if that is impossible."""
        try:
            job = await input_templates.fill_in(self._cluster.stores, self._job)
            placed = await place_secrets(self._cluster, job, self._resource.name, self._stop)
            built = self._build(job, placed)
        except (BadSpecError, BlobError, SecretError) as error:
            if self._stop.is_set() and isinstance(error, SecretError):
                return StatusUpdate(phase=Phase.ABORTED)
            return _failed(creation_errors.describe(error))
        rejections = 0
        began = self._cluster.clock.now()
        unanswered = False
        while not self._stop.is_set():
            rejection = await self._resource.make(built, placed.objects)
            if rejection is None:
                return None
            if rejection.failure is not None:
                return _failed(rejection.failure)
            if rejection.timeouts is not None:
                waited = self._cluster.clock.now() - began
                if waited >= rejection.timeouts:
                    return _failed(creation_errors.give_up(rejection))
            await self._report_once(
                Phase.WAITING_FOR_RESOURCES, rejection.reason, rejection.message
            )
            rejections += 1
            await self._pause(runtime_limits.QUOTA_BACKOFF.delay(rejections))
            unanswered = unanswered or rejection.reason == creation_errors.UNAVAILABLE
            if unanswered and self._resource.was_seen():
                return None  # it was created nevertheless, and may itself use up the quota
        return await self._abort() if unanswered else StatusUpdate(phase=Phase.ABORTED)

    def _build(self, job: Job, placed: PlacedSecrets) -> Object:
        """Build the resource; what was left out of it becomes events of the attempt."""
        at = self._cluster.clock.now()
        remarks: dict[tuple[str, str], ClusterEvent] = {}  # each once, of any number of pods

        def remark(reason: str, message: str) -> None:
            remarks[reason, message] = ClusterEvent(at=at, reason=reason, message=message)

        for sentence in list_ignored(job, RuntimeKind.PODS):
            remark(REASON, sentence)
        templates = placed.apply(replace(self._cluster.templates, remark=remark))
        built = self._plugin.build(job, self._resource.name, templates)
        self._remarks = list(remarks.values())
        return built

    async def _follow(self) -> StatusUpdate:
        while True:
            resource = await self._resource.see()
            if resource is None:
                return await (self._abort() if self._stop.is_set() else self._conclude_deleted())
            seen = self._observe(resource)
            if seen.stage in {Stage.SUCCEEDED, Stage.FAILED}:
                return await self._conclude(seen)
            if self._stop.is_set():
                return await self._abort()
            deadline = self._deadline()
            if deadline is not None and self._cluster.clock.now() >= deadline:
                return await self._conclude(self._overdue())
            if self._begun and not self._reported:
                self._fresh_events()  # an earlier agent has reported them
            lost_at = await self._resource.release_lost(resource)
            observe_again_at = await self._report_observation(seen)
            desired = (lost_at, observe_again_at, seen.observe_again_at, deadline)
            instants = [one for one in desired if one is not None]
            now = self._cluster.clock.now()
            await self._pause(
                min([runtime_limits.RECONCILE_INTERVAL, *(one - now for one in instants)])
            )

    def _observe(self, resource: Object) -> Observation:
        pods = self._resource.pods()
        if pods:
            self._last = pods
        around = ObservationContext(
            now=self._cluster.clock.now(), pods=pods, events=self._resource.events()
        )
        seen = self._plugin.observe(self._job, resource, around)
        self._log_pods = seen.log_pods
        return seen

    def _deadline(self) -> datetime | None:
        """Return when the task reaches its maximum runtime."""
        most = self._job.task.max_runtime
        began = [at for pod in self._last if (at := statuses.began_at(pod)) is not None]
        return None if most is None or not began else min(began) + most

    def _overdue(self) -> Observation:
        most = self._job.task.max_runtime or timedelta(0)
        failure = Failure(
            code=failures.MAX_RUNTIME_EXCEEDED,
            kind=FailureKind.USER,
            message="the task ran longer than its max runtime of "
            f"{most.total_seconds():g} s and was killed",
        )
        return Observation(stage=Stage.FAILED, failure=failure, log_pods=self._log_pods)

    async def _report_observation(self, seen: Observation) -> datetime | None:
        """Report the stage; a passing one is reported only at the returned instant."""
        phase = _PHASES[seen.stage]
        if phase is Phase.WAITING_FOR_RESOURCES and not seen.reason:
            return None
        if phase is Phase.INITIALIZING and seen.reason in _ORDINARY:
            now = self._cluster.clock.now()
            self._preparing_since = self._preparing_since or now
            if now < self._preparing_since + _PASSING:
                return self._preparing_since + _PASSING
        await self._report_once(phase, seen.reason, seen.message)
        return None

    async def _report_once(self, phase: Phase, reason: str, message: str) -> None:
        """Report a phase, and each reason for it once: reasons may alternate for hours."""
        if (phase, reason) in self._reported:
            return
        self._reported.add((phase, reason))
        await self._report_status(
            StatusUpdate(
                phase=phase,
                reason=reason,
                message=message,
                events=self._fresh_events(),
                log_links=self._fresh_links() if phase is Phase.RUNNING else (),
            )
        )

    def _fresh_links(self) -> Sequence[LogLink]:
        """Return links to external logs, once there is a pod that has one."""
        pods = self._last
        if self._links_reported or not pods:
            return ()
        self._links_reported = True
        names = self._log_pods or [name_of(pods[0]).name]
        pod = log_links.Pod(self._resource.name.namespace, next(iter(names)))
        return log_links.render_log_links(self._job, pod, self._cluster.log_links)

    def _fresh_events(self) -> Sequence[ClusterEvent]:
        text = [*self._remarks, *events.last_reported(self._resource.events())]
        fresh = [one for one in text if one not in self._reported_events]
        self._reported_events.update(fresh)
        return fresh

    async def _conclude(self, seen: Observation) -> StatusUpdate:
        """Capture the log, delete what still runs, and return the final status."""
        log_uri, last_lines = await self._capture()
        ended_well = seen.stage is Stage.SUCCEEDED
        outcome = AttemptOutcome(
            ended_well=ended_well,
            failure=seen.failure,
            log_uri=log_uri,
            last_lines=last_lines,
            events=self._fresh_events(),
        )
        if self._resource.is_quiet(trusted=ended_well):
            return await self._report_end(outcome)
        await self._resource.record_outcome(outcome)
        return await self._delete_and_report(outcome)

    async def _conclude_deleted(self) -> StatusUpdate:
        """Classify a resource that another client deleted; it may have ended before that."""
        failure = failures.classify_deleted(self._last, interruptible=self._job.interruptible)
        outcome = AttemptOutcome(ended_well=True, failure=failure, events=self._fresh_events())
        return await self._delete_and_report(outcome)  # its pods may linger

    async def _abort(self) -> StatusUpdate:
        log_uri, _ = await self._capture()
        text = self._fresh_events()
        await self._resource.remove(self._cluster.grace, self._wait)
        if await self._was_done():
            outcome = AttemptOutcome(ended_well=True, failure=None, log_uri=log_uri, events=text)
            update = await self._report_end(outcome)
            if update.phase is Phase.SUCCEEDED:
                return update
        return StatusUpdate(phase=Phase.ABORTED, log_uri=log_uri, events=text)

    async def _was_done(self) -> bool:
        """Return whether the task is known to have ended before it could react to a stop."""
        pod = self._resource.last_pod()
        if pod is not None and statuses.ended_by_itself(pod):
            return True
        began = self._begun or any(statuses.began_at(each) is not None for each in self._last)
        return began and await has_succeeded(self._cluster.stores, self._job)

    async def _delete_and_report(self, outcome: AttemptOutcome) -> StatusUpdate:
        grace = None if outcome.ended_well else self._cluster.grace
        await self._resource.remove(grace, self._wait)
        pod = self._resource.last_pod()
        if pod is not None and statuses.exited_with_0(pod):
            # It ended before it could react; the failure stands unless its outputs prove
            # success.
            outcome = replace(outcome, ended_well=True)
        return await self._report_end(outcome)

    async def _report_end(self, outcome: AttemptOutcome) -> StatusUpdate:
        update = await conclude(self._cluster.stores, self._job, outcome, self._cluster.clock.now())
        return replace(update, log_links=self._fresh_links())

    async def _capture(self) -> tuple[str, Sequence[str]]:
        """Ship the log; return its URI, and its last lines."""
        pods = self._resource.pods()
        sources = logs.list_sources(pods, self._log_pods, begun=False)  # statuses come late
        captured = logs.Captured(b"", [])
        if sources:
            try:
                async with self._cluster.captures:
                    captured = await call_with_retries(
                        lambda: logs.capture(self._cluster.kube, sources),
                        retry_timeout=attempt_limits.LOG_SHIPPING_TIMEOUT,
                    )
            except KubeError as error:
                logger.warning(
                    "log not read",
                    extra={"resource": str(self._resource.name), "detail": str(error)},
                )
        lines = captured.last_lines or [
            line for pod in pods[:1] for line in failures.last_words(pod)
        ]
        if not captured.packed:
            return "", lines
        return await artifacts.ship_log(self._cluster.stores, self._job, captured.packed), lines

    async def _pause(self, at_most: timedelta) -> None:
        """Wait for a change or a stop, at most ``at_most``."""
        if self._stop.is_set():
            return
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(self._wake_at_stop())
            await self._wait(at_most)
            stopping.cancel()

    async def _wait(self, at_most: timedelta) -> None:
        """Wait for a change, at most ``at_most``."""
        try:
            async with asyncio.timeout(max(0.0, at_most.total_seconds())):
                await self._changed.wait()
        except TimeoutError:
            pass  # time alone may have changed something
        self._changed.clear()

    async def _wake_at_stop(self) -> None:
        await self._stop.wait()
        self._changed.set()


def _failed(failure: Failure) -> StatusUpdate:
    return StatusUpdate(
        phase=Phase.FAILED, reason=failure.code, message=failure.message, failure=failure
    )
