"""Registers the outputs that tasks declare as artifacts, after the attempt has succeeded."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from controlplane.core import layout
from controlplane.core.artifacts import (
    MAX_VERSIONS,
    NewArtifact,
    ProducedArtifacts,
    SourceAttempt,
)
from controlplane.core.attempt_callers import subject_of
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch.artifact_registrations import (
    DueRegistration,
    add_events,
    claim_registrations,
    finish_registration,
)
from controlplane.store.resources import artifacts as store
from controlplane.usecases.data import MAX_PAYLOAD_BYTES
from shared.blobs.errors import BlobNotFoundError, BlobStoreError, BlobTooLargeError
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.model.ids import OrgName

READ_TIMEOUT = timedelta(seconds=30)
REASON = "ArtifactNotRegistered"
MAX_EVENTS = 20

Parse = Callable[[OrgName, SourceAttempt, bytes], ProducedArtifacts]
"""Parses an outputs file; what cannot be registered is a problem, never an error."""

log = logging.getLogger(__name__)


class ArtifactRegistrations:
    """Use cases of the queue of succeeded attempts with artifacts."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, parse: Parse) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._parse = parse

    async def claim(self, *, most: int) -> Sequence[DueRegistration]:
        """Return attempts that are due; another replica gets others."""
        async with self._database.for_fleet("claim artifact registrations") as tx:
            return await claim_registrations(tx, self._clock.now(), most=most)

    async def register(self, due: DueRegistration) -> int:
        """
        Register the artifacts of one attempt; return how many are new.

        An artifact that cannot be registered is an event of the attempt: the task has succeeded. If the
        store of blobs does not answer, the attempt is due again later.
        """
        try:
            produced = await self._read(due)
        except (BlobStoreError, TimeoutError) as error:
            log.warning(
                "artifacts not registered: outputs not readable, to be read again",
                extra={
                    "org": due.org,
                    "action": str(due.action),
                    "reason": str(error) or "timeout",
                },
            )
            return 0
        async with self._database.for_org(due.org) as tx:
            if not await finish_registration(tx, due.attempt):
                return 0
            new, problems = await self._insert(tx, due, produced.artifacts)
            await self._report(tx, due, [*produced.problems, *problems])
        return new

    async def _read(self, due: DueRegistration) -> ProducedArtifacts:
        uri = layout.outputs_uri(due.output_uri)
        if not layout.belongs_to(self._blobs.base, due.org, uri):
            return ProducedArtifacts(
                problems=["its outputs lie outside of the org; they are not read"]
            )
        try:
            async with asyncio.timeout(READ_TIMEOUT.total_seconds()):
                body = await self._blobs.read(uri, limit=MAX_PAYLOAD_BYTES)
        except BlobNotFoundError:
            return ProducedArtifacts(problems=["its outputs.pb is not there"])
        except BlobTooLargeError as error:
            return ProducedArtifacts(problems=[f"its outputs.pb is too large: {error}"])
        source = SourceAttempt(action=due.action, attempt=due.attempt.number - 1)
        return self._parse(due.org, source, body)

    async def _insert(
        self, tx: OrgTx, due: DueRegistration, artifacts: Sequence[NewArtifact]
    ) -> tuple[int, Sequence[str]]:
        """Insert those that do not exist; return how many, and why others cannot be."""
        if not artifacts:
            return 0, []
        now = self._clock.now()
        schemas = {each.key.name: each.partition.schema for each in reversed(artifacts)}
        names = await store.lock_names(tx, schemas, now)
        seen = dict(await store.find_digests(tx, {each.key for each in artifacts}))
        new: list[NewArtifact] = []
        problems: list[str] = []
        for each in artifacts:
            kept = seen.setdefault(each.key, each.digest)
            if kept is not each.digest:
                if kept != each.digest:
                    problems.append(
                        f"artifact {each.key} exists with another value, type or partition, which "
                        "is kept; declare another version"
                    )
            elif names[each.key.name].versions + len(new) >= MAX_VERSIONS:
                problems.append(
                    f"artifact {each.key.name} has {MAX_VERSIONS} versions; delete some"
                )
            else:
                new.append(each)
        creator = subject_of(due.attempt.action)
        await store.insert_artifacts(tx, [(each, creator) for each in new], names, now)
        return len(new), problems

    async def _report(self, tx: OrgTx, due: DueRegistration, problems: Sequence[str]) -> None:
        """Add problems to the events of the attempt's success."""
        if not problems:
            return
        log.warning(
            "artifacts not registered",
            extra={"org": due.org, "action": str(due.action), "problems": problems[:MAX_EVENTS]},
        )
        at = self._clock.now().isoformat()
        events = [
            {"at": at, "reason": REASON, "message": f"an output was not registered: {each}"}
            for each in problems[:MAX_EVENTS]
        ]
        await add_events(tx, due.attempt, json.dumps(events))
