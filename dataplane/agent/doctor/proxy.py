"""Check the API proxy: its Service exists, it answers, and its certificate matches."""

import ssl
from base64 import b64decode
from collections.abc import Sequence
from datetime import timedelta

import aiohttp

from dataplane.agent.core.pod_identity import FENCE_PATH
from dataplane.agent.doctor.cluster import Patient
from dataplane.agent.doctor.connectivity import Endpoint, reach
from dataplane.agent.doctor.results import CheckResult, Outcome, fault, fine, warning
from dataplane.agent.kube.errors import ForbiddenError, NotFoundError
from dataplane.agent.kube.objects import SECRET, SERVICE, Name

ABOUT = "proxy"
_ANSWER_WITHIN = timedelta(seconds=5)


async def check_proxy(patient: Patient) -> Sequence[CheckResult]:
    settings = patient.settings
    service = secret = Name(settings.namespace, settings.proxy_name)
    try:
        await patient.kube.get(SERVICE, service)
    except NotFoundError:
        return [
            fault(
                ABOUT,
                f"the Service {service} does not exist; pods reach the agent through it",
                "upgrade the chart, or correct --proxy-address",
            )
        ]
    except ForbiddenError:
        return []  # reported by the permissions check
    try:
        secret_object = await patient.kube.get(SECRET, secret)
    except NotFoundError:
        return [
            warning(
                ABOUT,
                f"the Secret {secret}, with the authority that pods trust, does not exist yet",
                "the agent creates it when it starts: read its log",
            )
        ]
    except ForbiddenError:
        return []  # reported by the permissions check
    if settings.kubeconfig is not None:
        return [
            warning(
                ABOUT,
                f"{settings.proxy_address} is not checked from outside of the cluster",
                "run this in the agent's pod: kubectl exec deploy/volary-agent -- …",
            )
        ]
    ca = b64decode(secret_object["data"]["tls.crt"]).decode()
    endpoint = Endpoint(
        about=ABOUT,
        host=settings.proxy_host,
        port=settings.proxy_port,
        setting="--proxy-address",
        ca=ca,
        ca_setting=f"the Secret {secret}: delete it and restart the agent, to give the proxy",
        expires_soon=timedelta(),  # the proxy renews its certificate, which is valid for days
    )
    reached = await reach(endpoint, patient.clock)
    if reached.outcome is Outcome.FAIL:
        return [reached]
    return [reached, await _check_fence(endpoint)]


async def _check_fence(endpoint: Endpoint) -> CheckResult:
    trust = ssl.create_default_context(cadata=endpoint.ca)
    waiting = aiohttp.ClientTimeout(total=_ANSWER_WITHIN.total_seconds())
    try:
        async with (
            aiohttp.ClientSession(timeout=waiting) as session,
            session.get(f"https://{endpoint.address}{FENCE_PATH}", ssl=trust) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        error_text = str(error) or type(error).__name__
        return fault(
            ABOUT, f"{endpoint.address} does not answer: {error_text}", "look at the agent's log"
        )
    if status == 200:
        return fine(ABOUT, "the agent behind it is connected to the control plane")
    return fault(
        ABOUT,
        f"the agent behind it answers {status}: it is disconnected from the control plane",
        "fix the control plane's results; else read the agent's log",
    )
