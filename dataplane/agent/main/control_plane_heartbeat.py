"""Tells every replica's proxy whether the last acknowledged heartbeat is recent enough."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from dataplane.agent.core.self_fencing import LastHeartbeat, fence_at, parse_last_heartbeat
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.objects import CONFIG_MAP, Name
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.taskactions.agent_metadata import METADATA_NAME, parse_metadata
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_READ_EVERY = timedelta(seconds=3)


class ControlPlaneHeartbeat:
    """
    Last acknowledged heartbeat: the leader takes it from its ledger, standbys read the ConfigMap.

    While the ConfigMap cannot be read the value ages and finally expires: the kubelet then
    stops replaceable pods, whichever replicas are alive. Before the first read the heartbeat
    counts as expired; but where no replica has ever led, no attempt can have been started, so
    it counts as fresh.
    """

    def __init__(self, kube: Kube, namespace: str, grace: timedelta, clock: Clock) -> None:
        self._kube = kube
        self._name = Name(namespace, METADATA_NAME)
        self._grace = grace
        self._clock = clock
        self._read: LastHeartbeat | None = None
        self._is_known = False  # or else nothing has been read yet
        self._ledger: Ledger | None = None  # the leader's, while it leads

    @contextmanager
    def leading(self, ledger: Ledger) -> Iterator[None]:
        """Use the ledger within the block, and its last value afterwards."""
        self._ledger = ledger
        try:
            yield
        finally:
            self._ledger = None
            self._read, self._is_known = ledger.last_heartbeat, True

    async def run(self) -> None:
        """Read the leader's ConfigMap every 3 s until cancelled."""
        while True:
            if self._ledger is None:
                await self._read_metadata()
            await self._clock.sleep(_READ_EVERY)

    @property
    def ledger(self) -> Ledger | None:
        """The ledger of this replica, if it leads."""
        return self._ledger

    @property
    def last(self) -> LastHeartbeat | None:
        """The last heartbeat that was acknowledged, as far as this replica knows."""
        return self._read if self._ledger is None else self._ledger.last_heartbeat

    def is_fresh(self) -> bool:
        """Return whether replaceable attempts may go on here."""
        if self._ledger is None and not self._is_known:
            return False
        last_heartbeat = self.last
        return last_heartbeat is None or self._clock.now() < fence_at(last_heartbeat, self._grace)

    def allow_until(self, _: object) -> None:
        """Do nothing: liveness probes of pods poll :meth:`is_fresh` instead."""

    async def _read_metadata(self) -> None:
        try:
            read = parse_last_heartbeat(
                parse_metadata(await self._kube.get(CONFIG_MAP, self._name))
            )
        except NotFoundError:
            read = None  # no replica has ever led
        except KubeError as error:
            logger.warning("last heartbeat not read", extra={"detail": str(error)})
            return
        self._read, self._is_known = read, True
