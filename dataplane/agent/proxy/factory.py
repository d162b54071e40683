"""Construct the API proxy from its parts."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import Name
from dataplane.agent.proxy.authority import Authority
from dataplane.agent.proxy.bodies import Bodies
from dataplane.agent.proxy.forwarding import Proxy
from dataplane.agent.proxy.metrics import Counts
from dataplane.agent.proxy.pod_limits import PodLimits
from dataplane.agent.proxy.run_lineage import RunLineage
from dataplane.agent.proxy.server import ApiProxy
from dataplane.agent.proxy.signer import Signer
from dataplane.agent.proxy.tokens import Tokens
from dataplane.agent.proxy.upstream import Credential, Upstream
from dataplane.agent.proxy.uri_policy import UriPolicy
from shared.blobs.keys import AccessKeys
from shared.blobs.multipart import open_uploads
from shared.blobs.options import S3Options
from shared.blobs.store import BlobStore, open_store
from shared.blobs.uploads import Uploads
from shared.kit.clock import Clock
from shared.kit.trust_file import TrustFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The proxy's addresses, and the control plane that it forwards to."""

    listen: str  # host:port; port 0 for any
    projects: Sequence[str]  # names and addresses by which it is reached, for its certificate
    secret: Name  # of its certificate authority
    namespaces: str  # template of the namespaces of attempts
    control_plane: str  # http(s)://host:port of the API
    trust: TrustFile | None  # of the control plane's certificate; None: the system's
    credential: Credential
    s3: S3Options | None = None  # None: from the environment


@asynccontextmanager
async def open_proxy(
    site: Site, *, kube: Kube, pods: Informer, clock: Clock, is_fresh: Callable[[], bool]
) -> AsyncIterator[ApiProxy]:
    """
    Create a proxy, ready for :meth:`~ApiProxy.run`; ``pods`` covers the agent's pods of all
    namespaces.

    Raises CertificateError or KubeError if its certificate authority cannot be read or created.
    """
    authority = await Authority.open(kube, site.secret, site.projects, clock)
    keys = AccessKeys(site.s3 or S3Options(), clock.now)

    def uploads(store: BlobStore) -> Uploads:
        return open_uploads(store, keys, clock.now)

    async with Upstream.open(site.control_plane, site.credential, trust=site.trust) as upstream:
        tokens = Tokens(kube, pods, clock, namespaces=site.namespaces)
        lines, bodies, counts = PodLimits(), Bodies(), Counts()
        proxy = Proxy(
            tokens=tokens,
            lineage=RunLineage(upstream, clock),
            lines=lines,
            bodies=bodies,
            upstream=upstream,
            counts=counts,
        )
        signer = Signer(
            tokens=tokens,
            lines=lines,
            bodies=bodies,
            uri_policy=UriPolicy(partial(open_store, options=site.s3)),
            uploads=uploads,
            counts=counts,
        )
        yield ApiProxy(
            listen=site.listen,
            authority=authority,
            proxy=proxy,
            signer=signer,
            is_fresh=is_fresh,
            counts=counts,
        )
