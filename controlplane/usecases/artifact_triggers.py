"""Starts runs of triggers for versions of artifacts that match them."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from controlplane.core import layout
from controlplane.core.artifact_triggers import MOST_HOPS, MOST_TRIES, DueVersion, QueuedFiring
from controlplane.core.artifacts import ArtifactKey
from controlplane.core.errors import InvalidError, RequestError, UnavailableError
from controlplane.core.firings import FiringReason
from controlplane.core.runs import NewRun, RunRequest
from controlplane.core.scoped_settings import resolve
from controlplane.core.scopes import Scope
from controlplane.core.tasks import TaskKey
from controlplane.core.triggers import TriggerRow
from controlplane.store.database import Database
from controlplane.store.dispatch.artifact_firings import (
    claim_firings,
    count_hops,
    finish_firing,
)
from controlplane.store.resources.artifact_lists import find_artifact
from controlplane.store.resources.artifact_uses import save_input_artifacts
from controlplane.store.resources.runs import Created, create_run
from controlplane.store.resources.scoped_settings import list_records
from controlplane.store.resources.tasks import find_task
from controlplane.store.resources.trigger_firings import record_one
from controlplane.store.resources.triggers import find_trigger
from controlplane.usecases.data import MAX_PAYLOAD_BYTES
from shared.blobs.errors import BlobNotFoundError, BlobStoreError
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import OrgName, RunId, RunKey

BLOB_TIMEOUT = timedelta(seconds=30)

log = logging.getLogger(__name__)


Build = Callable[[DueVersion, OrgName], RunRequest]
"""Builds the run of a trigger for a version; RequestError if that is impossible."""


class _FullQueueError(Exception):
    """The queue of the run is full, so that nothing of the transaction is kept."""


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

    async def fire(self, queued: QueuedFiring) -> bool:
        """
        Start the run of one version, or record why there is none; return whether it is new.

        A trigger that was deleted, deactivated or changed meanwhile starts none. If the store of blobs
        does not answer, or the queue is full, the firing is due again later.
        """
        try:
            due = await self._find(queued)
            if due is None or not due.matches:
                await self._drop(queued)
                return False
            new, taken = await self._prepare(queued, due)
            return await self._create(queued, due.row, new, taken)
        except RequestError as error:
            await self._skip(queued, str(error))
        except _FullQueueError as error:
            if queued.tries + 1 >= MOST_TRIES:
                await self._skip(queued, str(error))
            else:
                log.warning("run for an artifact waits", extra=_extra(queued, str(error)))
        except (BlobStoreError, UnavailableError, TimeoutError) as error:
            log.warning("run for an artifact waits", extra=_extra(queued, str(error) or "timeout"))
        return False

    async def _find(self, queued: QueuedFiring) -> DueVersion | None:
        """Find what a firing needs; None if its trigger is gone. InvalidError: it starts no run."""
        key, version = queued.trigger, queued.artifact
        async with self._database.for_org(queued.org) as tx:
            row = await find_trigger(tx, key)
            if row is None:
                return None
            artifact = await find_artifact(tx, version.name, version.version)
            if artifact is None:
                raise InvalidError(f"artifact {version} was deleted")
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
        return DueVersion(
            row=row, artifact=artifact, task_spec=task.spec, effective=effective, inputs=inputs
        )

    async def _prepare(
        self, queued: QueuedFiring, due: DueVersion
    ) -> tuple[NewRun, Sequence[ArtifactKey]]:
        """Build the run, and store its inputs; return the versions that they name, too."""
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
        return replace(new, input_uri=uri), inputs.artifacts

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

    async def _create(
        self, queued: QueuedFiring, row: TriggerRow, new: NewRun, taken: Sequence[ArtifactKey]
    ) -> bool:
        async with self._database.for_org(queued.org) as tx:
            if not await finish_firing(tx, queued):
                return False
            now = self._clock.now()
            await save_input_artifacts(tx, new.input_uri, taken, now)
            outcome, _ = await create_run(
                tx, RunId(new_uuid(now)), new, by=row.deployed_by, now=now
            )
            _require_created(outcome, new)
        if outcome is Created.CREATED:
            log.info(
                "run for an artifact created",
                extra={**_extra(queued, ""), "run": str(new.key.run)},
            )
        return outcome is Created.CREATED

    async def _skip(self, queued: QueuedFiring, reason: str) -> None:
        """Record that a version starts no run."""
        async with self._database.for_org(queued.org) as tx:
            if await finish_firing(tx, queued):
                await record_one(
                    tx,
                    queued.trigger,
                    FiringReason.REFUSED,
                    instant=queued.created_at,
                    now=self._clock.now(),
                    message=reason,
                )
        log.warning("run for an artifact skipped", extra=_extra(queued, reason))

    async def _drop(self, queued: QueuedFiring) -> None:
        async with self._database.for_org(queued.org) as tx:
            await finish_firing(tx, queued)


def _require_created(outcome: Created, new: NewRun) -> None:
    """Raise the error for a run that was refused."""
    queue = new.queue or "default"
    match outcome:
        case Created.QUEUE_FULL | Created.BUSY:
            raise _FullQueueError(f"queue {queue} is full")
        case Created.NO_QUEUE:
            raise InvalidError(f"there is no queue {queue}")
        case Created.TAKEN:
            raise InvalidError(f"another run has the name {new.key.run.name}")
        case Created.ARCHIVED_PROJECT:
            raise InvalidError(f"project {new.key.run.project} is archived")
        case Created.NO_PROJECT | Created.NO_TRIGGER | Created.NO_SOURCE | Created.NO_INPUTS:
            raise InvalidError("its trigger or project was deleted")
        case Created.CREATED | Created.REPEATED:
            return


def _extra(queued: QueuedFiring, reason: str) -> dict[str, object]:
    found: dict[str, object] = {
        "org": queued.org,
        "trigger": str(queued.trigger),
        "artifact": str(queued.artifact),
    }
    return {**found, "reason": reason} if reason else found
