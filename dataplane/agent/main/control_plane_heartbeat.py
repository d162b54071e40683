"""How fresh the contact with the control plane is, as every replica's door may be asked."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from dataplane.agent.core.self_fencing import LastHeartbeat, fence_at, parse_last_heartbeat
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.objects import CONFIG_MAP, Name
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.taskactions.facts import METADATA_NAME, parse_metadata
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_READ_EVERY = timedelta(seconds=3)


class ControlPlaneHeartbeat:
    """
    The leader knows from its ledger; the others read what the leader wrote down.

    What cannot be read grows old, and old contact is none: pods that may be begun elsewhere
    are then stopped by the kubelet, whoever of us lives. Nor is there any as long as nothing
    has been read; but where nobody has ever led, nothing can have been begun elsewhere.
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
        """Go by the ledger for the length of a block, and afterwards by what it said last."""
        self._ledger = ledger
        try:
            yield
        finally:
            self._ledger = None
            self._read, self._is_known = ledger.last_heartbeat, True

    async def run(self) -> None:
        """Keep up with the leader until cancelled."""
        while True:
            if self._ledger is None:
                await self._start_informers()
            await self._clock.sleep(_READ_EVERY)

    def is_fresh(self) -> bool:
        """Whether what may be begun elsewhere may go on here."""
        if self._ledger is None and not self._is_known:
            return False
        last_heartbeat = self._read if self._ledger is None else self._ledger.last_heartbeat
        return last_heartbeat is None or self._clock.now() < fence_at(last_heartbeat, self._grace)

    def allow_until(self, _: object) -> None:
        """The fence of pods is asked, not told; see :meth:`is_fresh`."""

    async def _start_informers(self) -> None:
        try:
            read = parse_last_heartbeat(
                parse_metadata(await self._kube.get(CONFIG_MAP, self._name))
            )
        except NotFoundError:
            read = None  # nobody has ever led
        except KubeError as error:
            logger.warning("the contact is not known", extra={"detail": str(error)})
            return
        self._read, self._is_known = read, True
