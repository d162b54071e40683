"""How fresh the contact with the control plane is, as every replica's door may be asked."""

import logging
from datetime import timedelta

from dataplane.agent.core.fencing import Contact, fence_at, read_contact
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.objects import CONFIG_MAP, Name
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.ledger.taskactions.facts import FACTS, facts_in
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_READ_EVERY = timedelta(seconds=3)


class Contacts:
    """
    The leader knows from its ledger; the others read what the leader wrote down.

    What cannot be read grows old, and old contact is none: pods that may be begun elsewhere
    are then stopped by the kubelet, whoever of us lives.
    """

    def __init__(self, kube: Kube, namespace: str, grace: timedelta, clock: Clock) -> None:
        self._kube = kube
        self._name = Name(namespace, FACTS)
        self._grace = grace
        self._clock = clock
        self._read: Contact | None = None
        self.ledger: Ledger | None = None  # the leader's, while it leads

    async def run(self) -> None:
        """Keep up with the leader until cancelled."""
        while True:
            if self.ledger is None:
                await self._look()
            await self._clock.sleep(_READ_EVERY)

    def is_fresh(self) -> bool:
        """Whether what may be begun elsewhere may go on here."""
        contact = self._read if self.ledger is None else self.ledger.contact
        return contact is None or self._clock.now() < fence_at(contact, self._grace)

    def allow_until(self, _: object) -> None:
        """The fence of pods is asked, not told; see :meth:`is_fresh`."""

    async def _look(self) -> None:
        try:
            self._read = read_contact(facts_in(await self._kube.get(CONFIG_MAP, self._name)))
        except NotFoundError:
            self._read = None  # nobody has ever led
        except KubeError as error:
            logger.warning("the contact is not known", extra={"detail": str(error)})
