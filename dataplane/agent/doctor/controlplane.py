"""Check the control plane: reachable, trusted, and accepting this agent's token and version."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from dataplane.agent.doctor.clocks import check_skew
from dataplane.agent.doctor.connectivity import Endpoint, reach, read_ca, split_address
from dataplane.agent.doctor.identity import check_identity
from dataplane.agent.doctor.results import CheckResult, Outcome, fault, fine, warning
from dataplane.agent.link.channel import Credential, DialError, is_loopback
from dataplane.agent.link.connection import PROTOCOL
from dataplane.agent.link.probe import Probed, ProbeRefusedError, probe
from dataplane.agent.settings import Settings
from shared.kit.clock import Clock

LINK = "control plane"
API = "api"
_ANSWER_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    results: Sequence[CheckResult]
    probed: Probed | None  # the answer of the first replica that answered


async def check_replicas(settings: Settings, clock: Clock) -> Answers:
    """Check every address of the link."""
    ca = read_ca(settings.ca_file, LINK)
    if isinstance(ca, CheckResult):
        return Answers(results=[ca], probed=None)
    own = await check_identity(settings, clock)
    if own.credential is None:
        return Answers(results=own.results, probed=None)
    if roots := own.credential.roots():
        ca = f"{ca or ''}\n{roots.decode()}"
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(_check_replica(settings, own.credential, address, ca, clock))
            for address in settings.control_plane
        ]
    answers = [each.result() for each in asked]
    return Answers(
        results=[*own.results, *(result for each in answers for result in each.results)],
        probed=next((each.probed for each in answers if each.probed), None),
    )


async def _check_replica(
    settings: Settings, credential: Credential, address: str, ca: str | None, clock: Clock
) -> Answers:
    host, port = split_address(address)
    reached = await reach(
        Endpoint(
            about=LINK,
            host=host,
            port=port,
            setting="--control-plane (controlPlane.link)",
            ca=ca,
            ca_setting="--ca-file (controlPlane.certificateAuthority)",
            is_plain=ca is None and credential.key_pair() is None and is_loopback(address),
        ),
        clock,
    )
    if reached.outcome is Outcome.FAIL:
        return Answers(results=[reached], probed=None)
    try:
        probed = await probe(address, credential, settings.ca_file, clock, at_most=_ANSWER_WITHIN)
    except DialError as error:
        refused = fault(LINK, str(error), "mount the Secret of token.existingSecret, and its key")
        return Answers(results=[reached, refused], probed=None)
    except ProbeRefusedError as error:
        return Answers(results=[reached, _explain_rejection(address, error)], probed=None)
    return Answers(
        results=[
            reached,
            _check_answer(address, probed),
            check_skew(probed.skew, f"the control plane's at {address}"),
        ],
        probed=probed,
    )


def _explain_rejection(address: str, error: ProbeRefusedError) -> CheckResult:
    match error.code:
        case "unauthenticated" if "certificate" in str(error):
            return fault(LINK, f"{address} refuses this agent: {error}", "enrol it again")
        case "unauthenticated":
            return fault(
                LINK,
                f"{address} does not know this token",
                "put the cluster's token into the Secret of token.existingSecret",
            )
        case "unimplemented":
            return warning(
                LINK,
                f"{address} is older than this agent and cannot check the token",
                "upgrade the control plane first, then its agents",
            )
        case "unavailable" | "deadline_exceeded":
            return fault(
                LINK,
                f"{address} does not answer a gRPC call: {error}",
                "let load balancers in between pass HTTP/2; else read the control plane's log",
            )
        case _:
            return fault(
                LINK,
                f"{address} answered {error.code}: {error}",
                "read the control plane's log",
            )


def _check_answer(address: str, probed: Probed) -> CheckResult:
    who = f"cluster {probed.cluster} of {probed.org}"
    if PROTOCOL in probed.protocols:
        return fine(LINK, f"{address} accepts this agent as {who}, link protocol {PROTOCOL}")
    spoken = f"{probed.protocols.start} to {probed.protocols.stop - 1}"
    older = "agent" if probed.protocols.start > PROTOCOL else "control plane"
    return fault(
        LINK,
        f"{address} speaks link protocols {spoken}, this agent {PROTOCOL}",
        f"upgrade the {older}",
    )


async def check_api(settings: Settings, address: str, clock: Clock) -> Sequence[CheckResult]:
    """Check the API, to which the API proxy forwards the calls of tasks."""
    ca = read_ca(settings.api_ca_file, API)
    if isinstance(ca, CheckResult):
        return [ca]
    host, port = split_address(address)
    endpoint = Endpoint(
        about=API,
        host=host,
        port=port,
        setting="--public-endpoint (controlPlane.api)",
        ca=ca,
        ca_setting="--ca-file (controlPlane.certificateAuthority)",
        is_plain=is_loopback(address) and not settings.public_tls,
    )
    reached = await reach(endpoint, clock)
    if reached.outcome is Outcome.FAIL:
        return [reached]
    return [reached, await _check_ready(endpoint)]


async def _check_ready(endpoint: Endpoint) -> CheckResult:
    trust = ssl.create_default_context(cadata=endpoint.ca)
    url = f"{'http' if endpoint.is_plain else 'https'}://{endpoint.address}/readyz"
    waiting = aiohttp.ClientTimeout(total=_ANSWER_WITHIN.total_seconds())
    try:
        async with (
            aiohttp.ClientSession(timeout=waiting) as session,
            session.get(url, ssl=trust, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return fault(
            API,
            f"{url} does not answer: {str(error) or type(error).__name__}",
            "correct --public-endpoint (controlPlane.api): the HTTP port, not the link's",
        )
    if status == 200:
        return fine(API, f"{endpoint.address} is ready")
    return warning(
        API,
        f"{url} answers {status}",
        "if no proxy in between answers the probes itself, check the control plane",
    )
