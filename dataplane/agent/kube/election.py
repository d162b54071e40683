"""
Which of the agent's replicas leads: whoever renews the Lease.

Another takes it over once it has not been renewed for its length, as the other's own clock
runs. The leader stops by itself some seconds before that, counted from when it sent the last
renewal that was heard; what the Lease does not fence (a process that slept meanwhile), the
session's epoch does. Intervals are those of the event loop's clock, which nobody sets.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ConflictError, ExistsError, KubeError, NotFoundError
from dataplane.agent.kube.objects import LEASE, MANAGED_LABEL, Name, Object
from shared.kit.cancellation import check_cancellation
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long what lasts; each must be well below the one before."""

    length: timedelta = timedelta(seconds=8)  # not renewed for so long, it is another's
    deadline: timedelta = timedelta(seconds=5)  # not renewed for so long, we stop
    every: timedelta = timedelta(seconds=2)  # between renewals
    poll_interval: timedelta = timedelta(seconds=1)  # of those who wait


class _LostError(Exception):
    """We may not lead any longer."""


class Election:
    def __init__(
        self, kube: Kube, lease: Name, identity: str, clock: Clock, terms: Terms | None = None
    ) -> None:
        """
        ``identity`` is ours alone; a pod's name, so that its next container goes on at once.

        ``kube`` should be used for nothing else: renewals must not wait behind other calls.
        """
        self._kube = kube.with_retry_timeout(timedelta(0))  # the loops below are the patience
        self._name = lease
        self._identity = identity
        self._clock = clock
        self._terms = Terms() if terms is None else terms
        self._lease: Object | None = None  # the Lease as we wrote it last
        self.leads = False
        self.terms_begun = 0  # for metrics

    def __repr__(self) -> str:
        return f"<Election {self._name} {self._identity} leads={self.leads}>"

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """
        Do the work whenever we lead, until it is done; it is cancelled when we may not.

        Cancelled ourselves, the work ends first and then the Lease is given back.
        """
        is_done = False
        while not is_done:
            deadline = await self._acquire()
            self.leads = True
            self.terms_begun += 1
            logger.info("this agent leads", extra={"lease": str(self._name)})
            try:
                # The body works: see shared.kit.cancellation.
                async with asyncio.TaskGroup() as tasks:
                    renewing = tasks.create_task(self._store(deadline), name="election")
                    await work()
                    renewing.cancel()
                is_done = True
            except* _LostError as group:
                logger.warning(
                    "this agent leads no longer", extra={"detail": str(group.exceptions[0])}
                )
            finally:
                self.leads = False
                await self._release()
            check_cancellation()

    async def _acquire(self) -> float:
        """Return, once the Lease is ours, until when without renewal, as the loop counts."""
        version, since = "", 0.0
        while True:
            try:
                async with asyncio.timeout(self._terms.deadline.total_seconds()):
                    lease = await self._find()
                    if lease is not None and lease["metadata"]["resourceVersion"] != version:
                        version, since = lease["metadata"]["resourceVersion"], self._time()
                    if lease is None or self._is_free(lease, since):
                        return await self._take(lease)
            except (ConflictError, ExistsError):
                pass  # another was faster
            except (KubeError, TimeoutError) as error:
                logger.warning("it is not known who leads", extra={"detail": str(error)})
            await self._clock.sleep(self._terms.poll_interval * random.uniform(0.7, 1))  # noqa: S311 - spreads load, keeps no secret

    def _is_free(self, lease: Object, since: float) -> bool:
        spec = lease.get("spec") or {}
        if _holder(lease) in ("", self._identity):
            return True
        return self._time() - since >= float(spec.get("leaseDurationSeconds") or 0)

    async def _store(self, deadline: float) -> None:
        """Renew for ever; _LostError when we may not lead any longer."""
        while True:
            await self._clock.sleep(self._terms.every)
            deadline = await self._renew(deadline)

    async def _renew(self, deadline: float) -> float:
        """Return the new deadline."""
        text = "the API server did not answer"
        while self._time() < deadline:
            at_most = min(deadline, self._time() + self._terms.every.total_seconds())
            try:
                async with asyncio.timeout_at(at_most):
                    return await self._take(self._lease)
            except ConflictError:
                self._lease = await self._try_acquire(deadline)
            except TimeoutError:
                pass
            except KubeError as error:
                text = str(error)
            await self._clock.sleep(self._terms.every / 8)
        raise _LostError(f"the Lease could not be renewed in time: {text}")

    async def _try_acquire(self, deadline: float) -> Object | None:
        """It was changed: by a renewal of ours that was not answered, or by who took it."""
        try:
            async with asyncio.timeout_at(deadline):
                lease = await self._find()
        except (KubeError, TimeoutError):
            return self._lease
        holder = _holder(lease or {})
        if holder != self._identity:
            raise _LostError(f"the Lease is {holder or 'nobody'}'s now")
        return lease

    async def _find(self) -> Object | None:
        try:
            return await self._kube.get(LEASE, self._name)
        except NotFoundError:
            return None

    async def _take(self, lease: Object | None) -> float:
        """Write that it is ours from now; return until when it is."""
        at = self._time()
        now = _micro(self._clock.now())
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
        return at + self._terms.deadline.total_seconds()

    def _spec(self, *, acquired: str, renewed: str, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._terms.length.total_seconds()),
            "acquireTime": acquired,
            "renewTime": renewed,
            "leaseTransitions": transitions,
        }

    async def _release(self) -> None:
        """Give it back if it is ours, so that nobody need wait."""
        lease, self._lease = self._lease, None
        try:
            async with asyncio.timeout(self._terms.every.total_seconds()):
                await self._give_back(lease)
        except (KubeError, TimeoutError) as error:
            logger.info(
                "the Lease is not given back; it will run out",
                extra={"lease": str(self._name), "detail": str(error)},
            )

    async def _give_back(self, lease: Object | None) -> None:
        while lease is not None and _holder(lease) == self._identity:
            free = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            try:
                await self._kube.replace(LEASE, {**lease, "spec": free})
            except ConflictError:
                # By who took it, or by a renewal of ours that was cut short and heard all the same.
                lease = await self._find()
            else:
                return

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _holder(lease: Object) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _micro(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
