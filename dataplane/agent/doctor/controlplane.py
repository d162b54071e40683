"""The control plane: reachable, trusted, and willing to have this agent?"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from dataplane.agent.doctor.clocks import judge_skew
from dataplane.agent.doctor.findings import Finding, Outcome, doubt, fault, fine
from dataplane.agent.doctor.reaching import Place, reach, read_ca, split_address
from dataplane.agent.link.channel import DialError, Token, is_loopback
from dataplane.agent.link.connection import PROTOCOL
from dataplane.agent.link.probing import Probed, ProbeRefusedError, probe
from dataplane.agent.settings import Settings
from shared.kit.clock import Clock

LINK = "control plane"
API = "api"
_ANSWER_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    findings: Sequence[Finding]
    probed: Probed | None  # what the first replica that answered says


async def ask_replicas(settings: Settings, clock: Clock) -> Answers:
    """Look at every address of the link."""
    ca = read_ca(settings.ca_file, LINK)
    if isinstance(ca, Finding):
        return Answers(findings=[ca], probed=None)
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(_ask(settings, address, ca, clock))
            for address in settings.control_plane
        ]
    answers = [each.result() for each in asked]
    return Answers(
        findings=[finding for each in answers for finding in each.findings],
        probed=next((each.probed for each in answers if each.probed), None),
    )


async def _ask(settings: Settings, address: str, ca: str | None, clock: Clock) -> Answers:
    host, port = split_address(address)
    reached = await reach(
        Place(
            about=LINK,
            host=host,
            port=port,
            setting="--control-plane (controlPlane.link)",
            ca=ca,
            ca_setting="--ca-file (controlPlane.certificateAuthority)",
            is_plain=ca is None and is_loopback(address),
        ),
        clock,
    )
    if reached.outcome is Outcome.FAIL:
        return Answers(findings=[reached], probed=None)
    try:
        probed = await probe(
            address, Token(settings.token_file), settings.ca_file, clock, at_most=_ANSWER_WITHIN
        )
    except DialError as error:
        refused = fault(LINK, str(error), "mount the Secret of token.existingSecret, and its key")
        return Answers(findings=[reached, refused], probed=None)
    except ProbeRefusedError as error:
        return Answers(findings=[reached, _judge_refusal(address, error)], probed=None)
    return Answers(
        findings=[
            reached,
            _judge_answer(address, probed),
            judge_skew(probed.skew, f"the control plane's at {address}"),
        ],
        probed=probed,
    )


def _judge_refusal(address: str, error: ProbeRefusedError) -> Finding:
    match error.code:
        case "unauthenticated":
            return fault(
                LINK,
                f"{address} does not know this token",
                "put the cluster's token into the Secret of token.existingSecret",
            )
        case "unimplemented":
            return doubt(
                LINK,
                f"{address} is older than this agent and cannot be asked about the token",
                "upgrade the control plane first, then its agents",
            )
        case "unavailable" | "deadline_exceeded":
            return fault(
                LINK,
                f"{address} does not answer a gRPC call: {error}",
                "let what is in between pass HTTP/2; else look at the control plane's log",
            )
        case _:
            return fault(
                LINK,
                f"{address} answered {error.code}: {error}",
                "look at the control plane's log",
            )


def _judge_answer(address: str, probed: Probed) -> Finding:
    who = f"cluster {probed.cluster} of {probed.org}"
    if PROTOCOL in probed.protocols:
        return fine(LINK, f"{address} knows this agent as {who}, link protocol {PROTOCOL}")
    spoken = f"{probed.protocols.start} to {probed.protocols.stop - 1}"
    older = "agent" if probed.protocols.start > PROTOCOL else "control plane"
    return fault(
        LINK,
        f"{address} speaks link protocols {spoken}, this agent {PROTOCOL}",
        f"upgrade the {older}",
    )


async def ask_api(settings: Settings, address: str, clock: Clock) -> Sequence[Finding]:
    """Look at the API, which the door passes the calls of tasks on to."""
    ca = read_ca(settings.ca_file, API)
    if isinstance(ca, Finding):
        return [ca]
    host, port = split_address(address)
    place = Place(
        about=API,
        host=host,
        port=port,
        setting="--public-endpoint (controlPlane.api)",
        ca=ca,
        ca_setting="--ca-file (controlPlane.certificateAuthority)",
        is_plain=is_loopback(address),
    )
    reached = await reach(place, clock)
    if reached.outcome is Outcome.FAIL:
        return [reached]
    return [reached, await _ask_whether_ready(place)]


async def _ask_whether_ready(place: Place) -> Finding:
    trust = ssl.create_default_context(cadata=place.ca)
    url = f"{'http' if place.is_plain else 'https'}://{place.address}/readyz"
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
            f"{url} is not answered: {str(error) or type(error).__name__}",
            "correct --public-endpoint (controlPlane.api): the HTTP port, not the link's",
        )
    if status == 200:
        return fine(API, f"{place.address} is ready")
    return doubt(
        API,
        f"{url} answers {status}",
        "if that is not a proxy that keeps probes to itself, look at the control plane",
    )
