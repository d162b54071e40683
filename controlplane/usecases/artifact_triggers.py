"""Starts runs of triggers for versions of artifacts that match them."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from prometheus_client import Counter, Histogram

from controlplane.core import layout
from controlplane.core.artifact_triggers import MOST_HOPS, MOST_TRIES, DueVersion, QueuedFiring
from controlplane.core.artifacts import ArtifactKey
from controlplane.core.errors import InvalidError, RequestError, UnavailableError
from controlplane.core.firings import FiringReason
from controlplane.core.runs import NewRun, RunRequest
from controlplane.core.scoped_settings import Effective, resolve
from controlplane.core.scopes import Scope
from controlplane.core.tasks import TaskKey
from controlplane.core.triggers import TriggerKey, TriggerRow
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.artifact_firings import (
    claim_firings,
    count_hops,
    finish_firings,
)
from controlplane.store.resources.artifact_lists import find_artifact
from controlplane.store.resources.artifact_uses import save_input_artifacts
from controlplane.store.resources.run_batches import TriggeredRun, create_triggered_runs
from controlplane.store.resources.runs import Created
from controlplane.store.resources.scoped_settings import list_records
from controlplane.store.resources.tasks import find_task
from controlplane.store.resources.trigger_firings import record_one
from controlplane.store.resources.triggers import find_trigger, lock_triggers
from controlplane.usecases.data import MAX_PAYLOAD_BYTES
from shared.blobs.errors import BlobNotFoundError, BlobStoreError
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName, RunId, RunKey

BLOB_TIMEOUT = timedelta(seconds=30)

log = logging.getLogger(__name__)


FIRINGS = Counter(
    "volary_artifact_firings",
    "Versions of artifacts for which triggers were to start runs, by what came of each try: started, "
    "repeated (another replica started it), waiting (tried again later), refused, or dropped (the "
    "trigger changed).",
    ["outcome"],
    registry=None,  # ``controlplane.metrics`` registers it
)
LAG = Histogram(
    "volary_artifact_firing_lag_seconds",
    "From the registration of a version to when the run of a trigger for it was created.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
    registry=None,  # ``controlplane.metrics`` registers it
)
_FULL = (Created.QUEUE_FULL, Created.OVER_QUOTA, Created.BUSY)

Build = Callable[[DueVersion, OrgName], RunRequest]
"""Builds the run of a trigger for a version; RequestError if that is impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trigger:
    """A trigger with what its runs are built from, read once for the firings of a page."""

    row: TriggerRow
    task_spec: bytes
    effective: Effective
    inputs: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A firing whose run can be created: its inputs are stored."""

    queued: QueuedFiring
    id: RunId
    new: NewRun
    by: str
    taken: Sequence[ArtifactKey]  # versions that the inputs name


class ArtifactTriggers:
    """Use cases of the queue of versions for which triggers start runs."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, build: Build) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._build = build

    async def claim(self, *, most: int) -> Sequence[QueuedFiring]:
        """Return firings that are due; another replica gets others."""
        async with self._database.for_fleet("claim firings of artifact triggers") as tx:
            return await claim_firings(tx, self._clock.now(), most=most)

    async def fire(self, org: OrgName, firings: Sequence[QueuedFiring]) -> int:
        """
        Start the runs of an org's firings, or record why there is none; return how many are new.

        The runs are created in one transaction. A trigger that was deleted, deactivated or changed
        meanwhile starts none. If the store of blobs does not answer, or the queue is full, a firing is
        due again later.
        """
        prepared: list[_Prepared] = []
        known: dict[TriggerKey, _Trigger] = {}
        for queued in firings:
            try:
                due = await self._find(queued, known)
                if due is None or not due.matches:
                    await self._drop(queued)
                    continue
                prepared.append(await self._prepare(queued, due))
            except RequestError as error:
                await self._skip(queued, str(error))
            except (BlobStoreError, UnavailableError, TimeoutError) as error:
                FIRINGS.labels("waiting").inc()
                reason = str(error) or "timeout"
                log.warning("run for an artifact waits", extra=_extra(queued, reason))
        return await self._create(org, prepared) if prepared else 0

    async def _find(
        self, queued: QueuedFiring, known: dict[TriggerKey, _Trigger]
    ) -> DueVersion | None:
        """Find what a firing needs; None if its trigger is gone. InvalidError: it starts no run."""
        version = queued.artifact
        trigger = known.get(queued.trigger) or await self._read(queued)
        if trigger is None:
            return None
        known[queued.trigger] = trigger
        async with self._database.for_org(queued.org) as tx:
            artifact = await find_artifact(tx, version.name, version.version)
        if artifact is None:
            raise InvalidError(f"artifact {version} was deleted")
        return DueVersion(
            row=trigger.row,
            artifact=artifact,
            task_spec=trigger.task_spec,
            effective=trigger.effective,
            inputs=trigger.inputs,
        )

    async def _read(self, queued: QueuedFiring) -> _Trigger | None:
        """Read a trigger with what its runs are built from; None if it is gone. InvalidError."""
        key = queued.trigger
        async with self._database.for_org(queued.org) as tx:
            row = await find_trigger(tx, key)
            if row is None:
                return None
            task = await find_task(
                tx, TaskKey(key.project, key.domain, key.task_name, row.task_version)
            )
            if task is None:
                raise InvalidError(f"version {row.task_version} of the task is not deployed")
            effective = resolve(await list_records(tx, Scope(key.domain, key.project)))
        async with asyncio.timeout(BLOB_TIMEOUT.total_seconds()):
            try:
                inputs = await self._blobs.read(row.input_uri, limit=MAX_PAYLOAD_BYTES)
            except BlobNotFoundError as error:
                raise InvalidError("the inputs of the trigger are gone; deploy it again") from error
        return _Trigger(row=row, task_spec=task.spec, effective=effective, inputs=inputs)

    async def _prepare(self, queued: QueuedFiring, due: DueVersion) -> _Prepared:
        """Build the run, and store its inputs."""
        request = self._build(due, queued.org)
        new, inputs = request.new, request.inputs
        await self._require_short_chain(queued, new)
        if inputs is None:
            raise ValueError(f"the run of trigger {queued.trigger} has no inputs of its own")
        if len(inputs.body) > MAX_PAYLOAD_BYTES:
            raise InvalidError(f"the inputs have more than {MAX_PAYLOAD_BYTES} bytes")
        uri = layout.uploaded_inputs_uri(
            inputs.base.rstrip("/") or self._blobs.base,
            queued.org,
            inputs.project,
            inputs.domain,
            hashlib.sha256(inputs.body).hexdigest(),
        )
        async with asyncio.timeout(BLOB_TIMEOUT.total_seconds()):
            if not await self._blobs.exists(uri):
                await self._blobs.write(uri, inputs.body)
        return _Prepared(
            queued=queued,
            id=RunId(new_uuid(self._clock.now())),
            new=replace(new, input_uri=uri),
            by=due.row.deployed_by,
            taken=inputs.artifacts,
        )

    async def _require_short_chain(self, queued: QueuedFiring, new: NewRun) -> None:
        """Raise InvalidError if runs that artifacts started have published one another's cause."""
        if new.relation is None:
            return
        source = RunKey(queued.trigger.project, queued.trigger.domain, new.relation.run)
        async with self._database.for_org(queued.org) as tx:
            hops = await count_hops(tx, source)
        if hops >= MOST_HOPS:
            raise InvalidError(
                f"{hops} runs in a row were started by artifacts, each of the one before; a trigger"
                " and a task that publishes its artifact would go on for ever"
            )

    async def _create(self, org: OrgName, prepared: Sequence[_Prepared]) -> int:
        """Create the runs; a repeated one is taken off the queue, too, and recorded once."""
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            there = await lock_triggers(tx, [each.queued.trigger for each in prepared])
            starting = [each for each in prepared if each.queued.trigger in there]
            await save_input_artifacts(
                tx, {each.new.input_uri: each.taken for each in starting}, now
            )
            outcomes = await create_triggered_runs(
                tx, [TriggeredRun(each.id, each.new, each.by) for each in starting], now
            )
            refusals = {
                each.id: _refusal(outcomes[each.id], each)
                for each in starting
                if outcomes[each.id] not in (Created.CREATED, Created.REPEATED)
            }
            waiting = {
                each.id
                for each in starting
                if outcomes[each.id] in _FULL and each.queued.tries + 1 < MOST_TRIES
            }
            decided = [each for each in prepared if each.id not in waiting]
            finished = await finish_firings(tx, [each.queued for each in decided])
            for each in starting:
                is_ours = (each.queued.trigger, each.queued.artifact) in finished
                if is_ours and outcomes[each.id] is not Created.REPEATED:
                    await self._record(tx, each, refusals.get(each.id, ""), now)
        FIRINGS.labels("dropped").inc(len(prepared) - len(starting))  # triggers deleted meanwhile
        return self._report(starting, outcomes, refusals, waiting, now)

    async def _record(self, tx: OrgTx, each: _Prepared, refusal: str, now: datetime) -> None:
        await record_one(
            tx,
            each.queued.trigger,
            FiringReason.REFUSED if refusal else FiringReason.ARTIFACT,
            instant=each.queued.created_at if refusal else each.new.started_at or now,
            now=now,
            run="" if refusal else each.new.key.run.name,
            message=refusal,
        )

    def _report(
        self,
        starting: Sequence[_Prepared],
        outcomes: Mapping[RunId, Created],
        refusals: Mapping[RunId, str],
        waiting: Collection[RunId],
        now: datetime,
    ) -> int:
        """Log and count what came of firings, after the commit; return how many runs are new."""
        started = 0
        for each in starting:
            outcome, of = outcomes[each.id], each.queued
            if outcome is Created.CREATED:
                started += 1
                FIRINGS.labels("started").inc()
                LAG.observe((now - of.created_at).total_seconds())
                extra = {**_extra(of, ""), "run": str(each.new.key.run)}
                log.info("run for an artifact created", extra=extra)
            elif outcome is Created.REPEATED:
                FIRINGS.labels("repeated").inc()
            elif each.id in waiting:
                FIRINGS.labels("waiting").inc()
                log.warning("run for an artifact waits", extra=_extra(of, refusals[each.id]))
            else:
                FIRINGS.labels("refused").inc()
                log.warning("run for an artifact skipped", extra=_extra(of, refusals[each.id]))
        return started

    async def _skip(self, queued: QueuedFiring, reason: str) -> None:
        """Record that a version starts no run."""
        async with self._database.for_org(queued.org) as tx:
            if await finish_firings(tx, [queued]):
                await record_one(
                    tx,
                    queued.trigger,
                    FiringReason.REFUSED,
                    instant=queued.created_at,
                    now=self._clock.now(),
                    message=reason,
                )
        FIRINGS.labels("refused").inc()
        log.warning("run for an artifact skipped", extra=_extra(queued, reason))

    async def _drop(self, queued: QueuedFiring) -> None:
        async with self._database.for_org(queued.org) as tx:
            await finish_firings(tx, [queued])
        FIRINGS.labels("dropped").inc()


def _refusal(outcome: Created, of: _Prepared) -> str:
    """Return why a run was refused."""
    queue, run = of.new.queue or "default", of.new.key.run
    if outcome is Created.OVER_QUOTA:
        return "a quota of actions per day is used up"
    if outcome in _FULL:
        return f"queue {queue} is full"
    if outcome is Created.NO_QUEUE:
        return f"there is no queue {queue}"
    if outcome is Created.TAKEN:
        return f"another run has the name {run.name}"
    if outcome is Created.ARCHIVED_PROJECT:
        return f"project {run.project} is archived"
    return "its trigger or project was deleted"


def _extra(queued: QueuedFiring, reason: str) -> dict[str, object]:
    found: dict[str, object] = {
        "org": queued.org,
        "trigger": str(queued.trigger),
        "artifact": str(queued.artifact),
    }
    return {**found, "reason": reason} if reason else found
