"""
Use cases after a restore: say what was found, take results from the bucket, let clusters work again.

For the operator, of one org at a time. Every step may be repeated.
"""

import logging
from collections.abc import Collection
from itertools import count
from uuid import UUID, uuid4

from controlplane.core.errors import NotReadyError
from controlplane.core.layout import error_uri, output_prefix, outputs_uri
from controlplane.core.restores import FindingKind, LiveDispatch, RestoreReport
from controlplane.store.database import Database
from controlplane.store.dispatch import restores as store
from controlplane.store.dispatch.reports import apply_reports
from controlplane.store.notify.changes import notify_own_work
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.model.ids import ActionId, AttemptId, ClusterName, LeaseId, OrgName
from shared.model.phases import Phase
from shared.model.reports import Report

log = logging.getLogger(__name__)

MOST_FINDINGS = 10_000
_PAGE = 500
_FIRST = ActionId(UUID(int=0))
_NO_CLUSTER = ClusterName("restored")
"""The cluster of attempts that ended where the copy does not know; the name of none."""


class Restores:
    """Use cases of an org in a restored database. ``blobs``: None leaves the bucket unread."""

    def __init__(self, database: Database, clock: Clock, blobs: BlobStore | None) -> None:
        self._database = database
        self._clock = clock
        self._blobs = blobs

    async def report(self, org: OrgName) -> RestoreReport:
        """Return which clusters still lease no work, and what was found of attempts."""
        async with self._database.for_org(org) as tx:
            clusters = await store.list_restored_clusters(tx)
            findings = await store.list_findings(tx, most=MOST_FINDINGS)
        return RestoreReport(
            clusters=clusters, findings=findings, is_complete=len(findings) < MOST_FINDINGS
        )

    async def release(
        self, org: OrgName, *, without: Collection[ClusterName] = ()
    ) -> tuple[int, Collection[ClusterName]]:
        """
        Take results that lie in the bucket, then let the org's clusters lease work again.

        Returns how many actions had a result, and the released clusters. NotReadyError: a cluster
        that has not reported its inventory is not in ``without``; what it runs might run twice.
        """
        async with self._database.for_org(org) as tx:
            clusters = await store.list_restored_clusters(tx)
        silent = [
            each.name
            for each in clusters
            if each.reconciled_at is None and each.name not in without
        ]
        if silent:
            raise NotReadyError(
                f"the agents of {', '.join(silent)} have not reported since the restore, and may be"
                " running what would be started again; start them, or name each with --without"
            )
        finished = await self._settle(org) if clusters else 0
        async with self._database.for_org(org) as tx:
            released = await store.release(tx, without)
            if released:
                await notify_own_work(tx)
        log.warning(
            "clusters released after a restore",
            extra={"org": org, "clusters": len(released), "finished": finished},
        )
        return finished, released

    async def _settle(self, org: OrgName) -> int:
        """End the actions that have outputs in the bucket and are with no agent; count them."""
        finished, after = 0, _FIRST
        while True:
            async with self._database.for_org(org) as tx:
                page = await store.list_unheld(tx, after=after, most=_PAGE)
            for each in page:
                number = await self._find_result(each)
                if number is not None:
                    await self._finish(org, each, number)
                    finished += 1
            if len(page) < _PAGE:
                return finished
            after = page[-1].attempt.action

    async def _find_result(self, live: LiveDispatch) -> int | None:
        """Return the attempt whose outputs are in the bucket, from the one that the copy knows on."""
        if self._blobs is None or not live.run_base.startswith(f"{self._blobs.base}/"):
            return None
        for number in count(live.attempt.number):
            prefix = output_prefix(live.run_base, live.action.name, number)
            if await self._blobs.exists(outputs_uri(prefix)):
                return number
            if not await self._blobs.exists(error_uri(prefix)):
                return None
        return None

    async def _finish(self, org: OrgName, live: LiveDispatch, number: int) -> None:
        """Report an attempt as succeeded in place of the agent, which has forgotten it."""
        attempt = AttemptId(live.attempt.action, number)
        cluster = live.cluster or _NO_CLUSTER
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            lease = live.lease
            if lease is None or number != live.attempt.number:
                lease = LeaseId(uuid4())
                if not await store.adopt(tx, cluster, [(attempt, lease)], now):
                    return  # something else has changed it meanwhile
            report = Report(
                attempt=attempt,
                lease=lease,
                version=_LAST_VERSION,
                phase=Phase.SUCCEEDED,
                at=now,
                reason="restored",
                message="Its outputs were in the bucket when the database was restored.",
                output_uri=output_prefix(live.run_base, live.action.name, number),
            )
            await apply_reports(tx, cluster, [report], now)
            await store.record_findings(tx, cluster, FindingKind.FINISHED, [(attempt, lease)], now)


_LAST_VERSION = 2**30
"""Above the versions of an agent's reports of the same attempt, which are answered as repeated."""
