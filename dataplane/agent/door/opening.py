"""Puts a door together from its parts."""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from dataplane.agent.door.authority import Authority
from dataplane.agent.door.bodies import Bodies
from dataplane.agent.door.bounds import Bounds
from dataplane.agent.door.door import Door
from dataplane.agent.door.kin import Kin
from dataplane.agent.door.lines import Lines
from dataplane.agent.door.metrics import Counts
from dataplane.agent.door.proxy import Proxy
from dataplane.agent.door.signer import Signer
from dataplane.agent.door.tokens import Tokens
from dataplane.agent.door.upstream import Credential, Upstream
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import Name
from shared.blobs.keys import AccessKeys
from shared.blobs.options import S3Options
from shared.blobs.store import BlobStore, open_store
from shared.blobs.uploads import Uploads
from shared.kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the door is, and where it leads."""

    listen: str  # host:port; port 0 for any
    places: Sequence[str]  # names and addresses by which it is reached, for its certificate
    secret: Name  # of its certificate authority
    control_plane: str  # http(s)://host:port of the API
    trust: ssl.SSLContext | None  # of the control plane's certificate; None: the system's
    credential: Credential
    s3: S3Options | None = None  # None: as the environment says


@asynccontextmanager
async def open_door(
    site: Site, *, kube: Kube, pods: Informer, clock: Clock, is_fresh: Callable[[], bool]
) -> AsyncIterator[Door]:
    """
    Make a door, to be :meth:`~Door.run`; ``pods`` is of the agent's pods in all namespaces.

    CertificateError or KubeError if its certificate authority cannot be had.
    """
    authority = await Authority.open(kube, site.secret, site.places, clock)
    keys = AccessKeys(site.s3 or S3Options(), clock.now)

    def uploads(store: BlobStore) -> Uploads:
        return Uploads(store, keys, clock.now)

    async with Upstream.open(site.control_plane, site.credential, trust=site.trust) as upstream:
        tokens = Tokens(kube, pods, clock)
        lines, bodies, counts = Lines(), Bodies(), Counts()
        proxy = Proxy(
            tokens=tokens,
            kin=Kin(upstream, clock),
            lines=lines,
            bodies=bodies,
            upstream=upstream,
            counts=counts,
        )
        signer = Signer(
            tokens=tokens,
            lines=lines,
            bodies=bodies,
            bounds=Bounds(partial(open_store, options=site.s3)),
            uploads=uploads,
            counts=counts,
        )
        yield Door(
            listen=site.listen,
            authority=authority,
            proxy=proxy,
            signer=signer,
            is_fresh=is_fresh,
            counts=counts,
        )
