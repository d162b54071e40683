"""
Leader election among the agent's replicas, by renewing a Lease object.

A standby takes the Lease over once it has not been renewed for its duration, measured by the
standby's own clock. The leader stops some seconds before that, counted from when it sent the
last successful renewal; a process that was suspended meanwhile is fenced by the session's
epoch. Intervals are measured by the event loop's monotonic clock.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ConflictError, ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.objects import LEASE, MANAGED_LABEL, Name, Object
from shared.kit.backoff import jittered
from shared.kit.cancellation import check_cancellation
from shared.kit.clock import Clock
from shared.kit.timestamps import render_rfc3339

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Intervals of the election; each must be well below the one before."""

    lease_duration: timedelta = timedelta(seconds=8)  # without renewal, a standby takes over
    renew_deadline: timedelta = timedelta(seconds=5)  # without renewal, the leader stops
    renew_interval: timedelta = timedelta(seconds=2)
    poll_interval: timedelta = timedelta(seconds=1)  # of standbys


class _LostError(Exception):
    """This replica must stop leading."""


class Election:
    def __init__(
        self, kube: Kube, lease: Name, identity: str, clock: Clock, terms: Terms | None = None
    ) -> None:
        """
        ``identity`` is unique; a pod's name, so that its next container leads again at once.

        ``kube`` should be used for nothing else: renewals must not wait behind other calls.
        """
        self._kube = kube.with_retry_timeout(timedelta(0))  # the loops below retry
        self._name = lease
        self._identity = identity
        self._clock = clock
        self._terms = Terms() if terms is None else terms
        self._lease: Object | None = None  # the Lease as this replica wrote it last
        self.leads = False
        self.terms_begun = 0  # for metrics

    def __repr__(self) -> str:
        return f"<Election {self._name} {self._identity} leads={self.leads}>"

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """
        Run ``work`` whenever this replica leads, until it returns; cancel it when leadership ends.

        When this call is cancelled, ``work`` ends first and then the Lease is released.
        """
        is_done = False
        while not is_done:
            deadline = await self._acquire()
            self.leads = True
            self.terms_begun += 1
            logger.info("leader election won", extra={"lease": str(self._name)})
            try:
                # The body works: see shared.kit.cancellation.
                async with asyncio.TaskGroup() as tasks:
                    renewing = tasks.create_task(self._keep_renewing(deadline), name="election")
                    await work()
                    renewing.cancel()
                is_done = True
            except* _LostError as group:
                logger.warning(
                    "leader election lost",
                    extra={"lease": str(self._name), "detail": str(group.exceptions[0])},
                )
            finally:
                self.leads = False
                await self._release()
            check_cancellation()

    async def _acquire(self) -> float:
        """Acquire the Lease; return the time, by the loop's clock, until which it is valid."""
        version, since = "", 0.0
        while True:
            try:
                async with asyncio.timeout(self._terms.renew_deadline.total_seconds()):
                    lease = await self._find()
                    if lease is not None and lease["metadata"]["resourceVersion"] != version:
                        version, since = lease["metadata"]["resourceVersion"], self._time()
                    if lease is None or self._is_free(lease, since):
                        return await self._take(lease)
            except (ConflictError, ExistsError):
                pass  # another replica was faster
            except (KubeError, TimeoutError) as error:
                logger.warning(
                    "lease not read", extra={"lease": str(self._name), "detail": str(error)}
                )
            await self._clock.sleep(jittered(self._terms.poll_interval, 0.3))

    def _is_free(self, lease: Object, since: float) -> bool:
        spec = lease.get("spec") or {}
        if _holder(lease) in ("", self._identity):
            return True
        return self._time() - since >= float(spec.get("leaseDurationSeconds") or 0)

    async def _keep_renewing(self, deadline: float) -> None:
        """Renew until cancelled; _LostError when this replica must stop leading."""
        while True:
            await self._clock.sleep(self._terms.renew_interval)
            deadline = await self._renew(deadline)

    async def _renew(self, deadline: float) -> float:
        """Renew once, retrying until ``deadline``; return the new deadline."""
        text = "the API server did not answer"
        while self._time() < deadline:
            at_most = min(deadline, self._time() + self._terms.renew_interval.total_seconds())
            try:
                async with asyncio.timeout_at(at_most):
                    return await self._take(self._lease)
            except ConflictError:
                self._lease = await self._reread(deadline)
            except TimeoutError:
                pass
            except KubeError as error:
                text = str(error)
            await self._clock.sleep(self._terms.renew_interval / 8)
        raise _LostError(f"the Lease could not be renewed in time: {text}")

    async def _reread(self, deadline: float) -> Object | None:
        """Read the Lease after a conflict: own lost renewal, or another holder (_LostError)."""
        try:
            async with asyncio.timeout_at(deadline):
                lease = await self._find()
        except (KubeError, TimeoutError):
            return self._lease
        holder = _holder(lease or {})
        if holder != self._identity:
            raise _LostError(f"the Lease is held by {holder or 'no replica'} now")
        return lease

    async def _find(self) -> Object | None:
        try:
            return await self._kube.get(LEASE, self._name)
        except NotFoundError:
            return None

    async def _take(self, lease: Object | None) -> float:
        """Write this replica as the holder; return until when that is valid."""
        at = self._time()
        now = render_rfc3339(self._clock.now(), "microseconds")
        if lease is None:
            metadata = {
                "namespace": self._name.namespace,
                "name": self._name.name,
                "labels": {MANAGED_LABEL: "true"},
            }
            spec = self._spec(acquired=now, renewed=now, transitions=0)
            self._lease = await self._kube.create(LEASE, {"metadata": metadata, "spec": spec})
        else:
            was = lease.get("spec") or {}
            is_ours = was.get("holderIdentity") == self._identity
            spec = self._spec(
                acquired=was.get("acquireTime", now) if is_ours else now,
                renewed=now,
                transitions=int(was.get("leaseTransitions") or 0) + (not is_ours),
            )
            self._lease = await self._kube.replace(LEASE, {**lease, "spec": spec})
        return at + self._terms.renew_deadline.total_seconds()

    def _spec(self, *, acquired: str, renewed: str, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._terms.lease_duration.total_seconds()),
            "acquireTime": acquired,
            "renewTime": renewed,
            "leaseTransitions": transitions,
        }

    async def _release(self) -> None:
        """Release the Lease if this replica holds it, so that a standby need not wait."""
        lease, self._lease = self._lease, None
        try:
            async with asyncio.timeout(self._terms.renew_interval.total_seconds()):
                await self._give_back(lease)
        except (KubeError, TimeoutError) as error:
            logger.info(
                "lease not released, it will expire",
                extra={"lease": str(self._name), "detail": str(error)},
            )

    async def _give_back(self, lease: Object | None) -> None:
        while lease is not None and _holder(lease) == self._identity:
            free = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            try:
                await self._kube.replace(LEASE, {**lease, "spec": free})
            except ConflictError:
                # Another replica took it, or a cancelled renewal of this one was executed.
                lease = await self._find()
            else:
                return

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _holder(lease: Object) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
