"""
The proxy's certificate authority: kept in a Secret of the agent, published where pods run.

The first replica creates it, all others read it, so that all replicas are trusted by all pods.
The key stays in the Secret; server certificates live two days, each replica has its own, in
memory only.
"""

import asyncio
import logging
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime

from dataplane.agent.core.pod_identity import CA_CONFIG_MAP, CA_KEY
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, NotFoundError
from dataplane.agent.kube.objects import CONFIG_MAP, MANAGED_LABEL, SECRET, Name, Object
from dataplane.agent.proxy import proxy_limits
from shared.kit.cache import ExpiringCache
from shared.kit.certificates import CertificateError, KeyPair, issue, make_authority
from shared.kit.clock import Clock
from shared.kit.tls import load_pair, make_server_context

logger = logging.getLogger(__name__)

_CERTIFICATE, _PRIVATE_KEY = "tls.crt", "tls.key"


class Authority:
    """
    The authority and the current server certificate.

    Created by :meth:`open`; :meth:`run` renews the certificate.
    """

    def __init__(self, kube: Kube, pair: KeyPair, projects: Sequence[str], clock: Clock) -> None:
        self._kube = kube
        self._pair = pair
        self._places = projects
        self._clock = clock
        self._published: ExpiringCache[str, bool] = ExpiringCache(
            proxy_limits.NAMESPACES_KNOWN, clock
        )
        self.context = make_server_context(["http/1.1"])
        self._until = self._renew()

    def __repr__(self) -> str:
        return f"<Authority until={self._until:%Y-%m-%dT%H:%M}>"

    @classmethod
    async def open(
        cls, kube: Kube, secret: Name, projects: Sequence[str], clock: Clock
    ) -> "Authority":
        """
        Read the authority from ``secret``, or create it; ``projects`` are the proxy's
        addresses.

        Raises CertificateError if the Secret holds no authority.
        """
        return cls(kube, await _take_or_make(kube, secret, clock.now()), projects, clock)

    @property
    def certificate(self) -> bytes:
        """Return the certificate that pods have to trust, PEM."""
        return self._pair.certificate

    async def run(self) -> None:
        """Renew the proxy's certificate in time, until cancelled; open connections stay."""
        while True:
            await self._clock.sleep(proxy_limits.REFRESH_INTERVAL)
            self.run_once()

    def run_once(self) -> bool:
        """Renew the certificate if it is due; return whether it was."""
        if self._until - self._clock.now() > proxy_limits.RENEW_BEFORE:
            return False
        self._until = self._renew()
        return True

    async def publish(self, namespace: str) -> None:
        """Write the certificate to trust into the namespace's ConfigMap; KubeError on failure."""
        if self._published.get(namespace):
            return
        desired = {CA_KEY: self._pair.certificate.decode()}
        name = Name(namespace, CA_CONFIG_MAP)
        try:
            there = await self._kube.get(CONFIG_MAP, name)
        except NotFoundError:
            await self._create(name, desired)
        else:
            if there.get("data") != desired:
                await self._kube.patch(CONFIG_MAP, name, {"data": desired})
        until = self._clock.now() + proxy_limits.PUBLISHED_LASTS
        self._published.put(namespace, True, until=until)

    async def _create(self, name: Name, data: dict[str, str]) -> None:
        try:
            await self._kube.create(CONFIG_MAP, {**_skeleton(CONFIG_MAP.name, name), "data": data})
        except ExistsError:
            await self._kube.patch(CONFIG_MAP, name, {"data": data})

    def _renew(self) -> datetime:
        issued = issue(
            self._pair,
            "volary-proxy",
            self._places,
            self._clock.now(),
            lasts=proxy_limits.CERTIFICATE_LASTS,
        )
        load_pair(self.context, issued.pair)
        logger.info("proxy certificate renewed", extra={"until": issued.until.isoformat()})
        return issued.until


async def _take_or_make(kube: Kube, name: Name, now: datetime) -> KeyPair:
    try:
        return _parse(await kube.get(SECRET, name), name)
    except NotFoundError:
        pass
    made = await asyncio.to_thread(
        make_authority, "volary-proxy authority", now, lasts=proxy_limits.CA_LASTS
    )
    data = {_CERTIFICATE: made.certificate, _PRIVATE_KEY: made.key}
    secret = {
        **_skeleton(SECRET.name, name),
        "type": "kubernetes.io/tls",
        "data": {key: b64encode(value).decode() for key, value in data.items()},
    }
    try:
        await kube.create(SECRET, secret)
    except ExistsError:
        return _parse(await kube.get(SECRET, name), name)  # another replica was first
    logger.info("proxy certificate authority created", extra={"secret": str(name)})
    return made


def _parse(secret: Object, name: Name) -> KeyPair:
    data = secret.get("data") or {}
    try:
        return KeyPair(b64decode(data[_CERTIFICATE]), b64decode(data[_PRIVATE_KEY]))
    except (KeyError, ValueError) as error:
        raise CertificateError(
            f"the Secret {name} has no {_CERTIFICATE} or no {_PRIVATE_KEY}; delete it, and the"
            " API proxy creates a new authority"
        ) from error


def _skeleton(kind: str, name: Name) -> dict[str, object]:
    metadata = {
        "namespace": name.namespace,
        "name": name.name,
        "labels": {MANAGED_LABEL: "true"},
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}
