"""An API proxy without Kubernetes: one token is good, and a test plays the control plane."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from starlette.types import ASGIApp

from dataplane.agent.kube.objects import annotate_attempt
from dataplane.agent.proxy.authority import Authority
from dataplane.agent.proxy.bodies import Bodies
from dataplane.agent.proxy.callers import Caller, identify
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from dataplane.agent.proxy.forwarding import Proxy
from dataplane.agent.proxy.metrics import Counts
from dataplane.agent.proxy.pod_limits import PodLimits
from dataplane.agent.proxy.run_lineage import RunLineage
from dataplane.agent.proxy.server import ApiProxy
from dataplane.agent.proxy.signer import Signer
from dataplane.agent.proxy.tokens import Tokens
from dataplane.agent.proxy.upstream import Upstream
from dataplane.agent.proxy.uri_policy import UriPolicy
from shared.blobs.store import open_store
from shared.kit.certificates import make_authority
from shared.kit.clock import SystemClock
from tests.running import running
from tests.servers.http import serving
from tests.unit.agent.assignments import make_assignment

UNARY = "/flyteidl2.workflow.RunService/GetRunDetails"
STREAM = "/flyteidl2.workflow.RunService/WatchRunDetails"
TOKEN = "authorization: Bearer good"  # noqa: S105


class _TakenAtTheirWord:
    """Takes one token, as :class:`Tokens` takes those of pods."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def admit(self, authorization: str | None) -> Caller:
        if authorization != "Bearer good":
            raise PodCallRefusedError(Code.UNAUTHENTICATED, "no token came with the call")
        return self._caller


@dataclass(frozen=True, slots=True)
class Opened:
    api: ApiProxy
    caller: Caller
    trust: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.api.port}"


async def _no_credential(_: object) -> dict[str, str]:
    return {}


@asynccontextmanager
async def opened_proxy(home: Path, control_plane: ASGIApp) -> AsyncIterator[Opened]:
    """Run a proxy before an application that takes the control plane's place."""
    clock = SystemClock()
    base = f"file://{home}/blobs"
    pod = {"namespace": "n", "name": "p", "uid": "u"}
    annotations = annotate_attempt(make_assignment(1, base=base))
    caller = identify({"metadata": {**pod, "annotations": annotations}})
    pair = make_authority("volary-proxy authority", clock.now(), lasts=timedelta(days=1))
    authority = Authority(cast(Any, None), pair, ["127.0.0.1"], clock)
    tokens = cast(Tokens, _TakenAtTheirWord(caller))
    lines, bodies, counts = PodLimits(), Bodies(), Counts()
    async with (
        serving(control_plane) as address,
        Upstream.open(address, _no_credential) as upstream,
    ):
        api = ApiProxy(
            listen="127.0.0.1:0",
            authority=authority,
            proxy=Proxy(
                tokens=tokens,
                lineage=RunLineage(upstream, clock),
                lines=lines,
                bodies=bodies,
                upstream=upstream,
                counts=counts,
            ),
            signer=Signer(
                tokens=tokens,
                lines=lines,
                bodies=bodies,
                uri_policy=UriPolicy(open_store),
                uploads=cast(Any, None),
                counts=counts,
            ),
            is_fresh=lambda: True,
            counts=counts,
        )
        async with running(api, at_most=300):
            await api.started.wait()
            trust = ssl.create_default_context(cadata=authority.certificate.decode())
            yield Opened(api, caller, trust)
