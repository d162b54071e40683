"""The agent's credential for the link: a shared token, or an identity from its store."""

import logging
from dataclasses import replace
from datetime import timedelta

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError
from dataplane.agent.kube.objects import Name
from dataplane.agent.link.channel import Credential, DialError, Token
from dataplane.agent.link.enrolment import Enrolment
from dataplane.agent.link.enrolment_settings import ENROLMENT_PORT
from dataplane.agent.link.identity import Identity, IdentityError, IdentityStore, parse_document
from dataplane.agent.link.identity_secret import IdentitySecret
from dataplane.agent.settings import Settings
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_READ_EVERY = timedelta(seconds=5)


async def open_credential(settings: Settings, store: IdentityStore, clock: Clock) -> Credential:
    """Return the shared token if one is configured; else the identity, enrolling if need be."""
    if settings.token_file is not None:
        return Token(settings.token_file)
    enrolment = Enrolment(
        store=store,
        addresses=settings.enrolment.addresses or [settings.at_first_host(ENROLMENT_PORT)],
        join_token_file=settings.enrolment.join_token_file,
        ca_file=settings.ca_file,
        clock=clock,
    )
    return await enrolment.open()


def with_endpoint(settings: Settings, credential: Credential) -> Settings:
    """Return the settings with the API's address of the enrolment, unless one is configured."""
    if settings.configured_public_endpoint or not isinstance(credential, Identity):
        return settings
    return replace(settings, configured_public_endpoint=credential.api_endpoint)


class SharedIdentity:
    """
    The credential of all replicas of an agent in a cluster.

    The leader enrols and renews; the others, whose API proxies call the link as well, read the
    Secret again every five seconds.
    """

    def __init__(self, settings: Settings, kube: Kube, name: Name, clock: Clock) -> None:
        self._settings = settings
        self._kube = kube
        self._name = name
        self._clock = clock
        self._credential: Credential | None = None
        self._is_leading = False
        if settings.token_file is not None:
            self._credential = Token(settings.token_file)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return self._current().metadata()

    def key_pair(self) -> tuple[bytes, bytes] | None:
        return self._current().key_pair()

    def roots(self) -> bytes:
        return self._current().roots()

    async def lead(self) -> Credential:
        """Return the credential of this replica, which leads from now on; it may enrol."""
        if self._settings.token_file is not None:
            return self._current()
        self._is_leading = True
        store = IdentitySecret(self._kube, self._name)
        self._credential = await open_credential(self._settings, store, self._clock)
        return self._credential

    def follow(self) -> None:
        """Read what another replica writes, from now on."""
        self._is_leading = False

    async def run(self) -> None:
        """Read the Secret while another replica leads, until cancelled."""
        while self._settings.token_file is None:
            if not self._is_leading:
                await self._read()
            await self._clock.sleep(_READ_EVERY)

    async def _read(self) -> None:
        store = IdentitySecret(self._kube, self._name)
        try:
            raw = await store.load()
            document = None if raw is None else parse_document(raw, str(store))
        except (KubeError, IdentityError) as error:
            logger.warning("identity not read", extra={"detail": str(error)})
            return
        if document is not None and document.certificates and not self._is_leading:
            self._credential = Identity(store, document)

    def _current(self) -> Credential:
        if self._credential is None:
            raise DialError("this agent is not enrolled yet; see the log of the replica that leads")
        return self._credential
