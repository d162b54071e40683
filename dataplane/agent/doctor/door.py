"""The door: is its Service there, does it answer, and does its certificate suit it?"""

import ssl
from base64 import b64decode
from collections.abc import Sequence
from datetime import timedelta

import aiohttp

from dataplane.agent.core.entrance import FENCE_PATH
from dataplane.agent.doctor.cluster import Patient
from dataplane.agent.doctor.findings import Finding, Outcome, doubt, fault, fine
from dataplane.agent.doctor.reaching import Place, reach
from dataplane.agent.kube.errors import ForbiddenError, NotFoundError
from dataplane.agent.kube.objects import SECRET, SERVICE, Name

ABOUT = "door"
_ANSWER_WITHIN = timedelta(seconds=5)


async def look_at_door(patient: Patient) -> Sequence[Finding]:
    settings = patient.settings
    service = secret = Name(settings.namespace, settings.door_name)
    try:
        await patient.kube.get(SERVICE, service)
    except NotFoundError:
        return [
            fault(
                ABOUT,
                f"there is no Service {service}, through which pods reach the agent",
                "upgrade the chart, or correct --door-address",
            )
        ]
    except ForbiddenError:
        return []  # the permissions say so
    try:
        held = await patient.kube.get(SECRET, secret)
    except NotFoundError:
        return [
            doubt(
                ABOUT,
                f"there is no Secret {secret} yet, with the authority that pods trust",
                "the agent makes it when it starts: look at its log",
            )
        ]
    except ForbiddenError:
        return []  # the permissions say so
    if settings.kubeconfig is not None:
        return [
            doubt(
                ABOUT,
                f"{settings.door_address} is not looked at from outside of the cluster",
                "run this in the agent's pod: kubectl exec deploy/volary-agent -- …",
            )
        ]
    ca = b64decode(held["data"]["tls.crt"]).decode()
    place = Place(
        about=ABOUT,
        host=settings.door_host,
        port=settings.door_port,
        setting="--door-address",
        ca=ca,
        ca_setting=f"the Secret {secret}: delete it and restart the agent, to give the door",
        expires_soon=timedelta(),  # the door renews it, and lives by days
    )
    reached = await reach(place, patient.clock)
    if reached.outcome is Outcome.FAIL:
        return [reached]
    return [reached, await _ask_fence(place)]


async def _ask_fence(place: Place) -> Finding:
    trust = ssl.create_default_context(cadata=place.ca)
    waiting = aiohttp.ClientTimeout(total=_ANSWER_WITHIN.total_seconds())
    try:
        async with (
            aiohttp.ClientSession(timeout=waiting) as session,
            session.get(f"https://{place.address}{FENCE_PATH}", ssl=trust) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        return fault(ABOUT, f"{place.address} does not answer: {said}", "look at the agent's log")
    if status == 200:
        return fine(ABOUT, "the agent behind it is in touch with the control plane")
    return fault(
        ABOUT,
        f"the agent behind it answers {status}: it is cut off from the control plane",
        "see to the control plane's findings; else look at the agent's log",
    )
