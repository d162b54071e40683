"""How fresh the contact with the control plane is, as every replica's door may be asked."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
    are then stopped by the kubelet, whoever of us lives. Nor is there any as long as nothing
    has been read; but where nobody has ever led, nothing can have been begun elsewhere.
    """

    def __init__(self, kube: Kube, namespace: str, grace: timedelta, clock: Clock) -> None:
        self._kube = kube
        self._name = Name(namespace, FACTS)
        self._grace = grace
        self._clock = clock
        self._read: Contact | None = None
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
            self._read, self._is_known = ledger.contact, True

    async def run(self) -> None:
        """Keep up with the leader until cancelled."""
        while True:
            if self._ledger is None:
                await self._look()
            await self._clock.sleep(_READ_EVERY)

    def is_fresh(self) -> bool:
        """Whether what may be begun elsewhere may go on here."""
        if self._ledger is None and not self._is_known:
            return False
        contact = self._read if self._ledger is None else self._ledger.contact
        return contact is None or self._clock.now() < fence_at(contact, self._grace)

    def allow_until(self, _: object) -> None:
        """The fence of pods is asked, not told; see :meth:`is_fresh`."""

    async def _look(self) -> None:
        try:
            read = read_contact(facts_in(await self._kube.get(CONFIG_MAP, self._name)))
        except NotFoundError:
            read = None  # nobody has ever led
        except KubeError as error:
            logger.warning("the contact is not known", extra={"detail": str(error)})
            return
        self._read, self._is_known = read, True
